//! The tables of the store, and the way from older versions of them.

use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::durable;
use crate::error::{Error, Result};

use super::error::StoreError;

/// The steps from one version of the tables to the next; the first makes them. A step that was released never changes.
const STEPS: [&str; 2] = [STEP_1, STEP_2];

/// The version of the tables that this program reads and writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

const STEP_1: &str = "
-- A file below packages/.
CREATE TABLE file (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    size INTEGER NOT NULL,
    md5 BLOB NOT NULL CHECK (length(md5) = 16),
    sha1 BLOB NOT NULL CHECK (length(sha1) = 20),
    sha512 BLOB NOT NULL CHECK (length(sha512) = 64)
) STRICT, WITHOUT ROWID;

-- A file that somebody is about to add: no garbage before `expires`, in Unix seconds.
CREATE TABLE arriving (
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    owner TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (sha256, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX arriving_by_owner ON arriving (owner);

-- A package: its files and one stanza, which `digest` covers. The same files with another stanza are another row. Numbers are never used
-- again, since lists hold them.
CREATE TABLE package (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('deb', 'udeb', 'source')),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    architecture TEXT NOT NULL,
    source TEXT NOT NULL,
    source_version TEXT NOT NULL,
    provides TEXT NOT NULL,
    files_hash INTEGER NOT NULL,
    directory TEXT NOT NULL
) STRICT;
CREATE INDEX package_by_name ON package (name, architecture, version);

-- The stanza of a package, without the fields that an index writes.
CREATE TABLE stanza (
    package INTEGER PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    text BLOB NOT NULL
) STRICT;

CREATE TABLE package_file (
    package INTEGER NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL REFERENCES file (sha256),
    PRIMARY KEY (package, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX package_file_by_file ON package_file (sha256);

-- The paths below pool/COMPONENT/ that files are published under. A path leads to one content for as long as that is in the store.
CREATE TABLE path (
    path TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL REFERENCES file (sha256) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX path_by_file ON path (sha256);

-- The paths that a binary package installs: sorted lines, packed by zstd.
CREATE TABLE contents (
    sha256 BLOB PRIMARY KEY REFERENCES file (sha256) ON DELETE CASCADE,
    paths BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A part of lists: the numbers of the packages whose names and architectures have one hash.
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    packages BLOB NOT NULL
) STRICT;

-- A list of packages: the numbers of its buckets. `idle_since` is when garbage collection first found it without a repository or a snapshot, in
-- Unix seconds.
CREATE TABLE list (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    buckets BLOB NOT NULL,
    packages INTEGER NOT NULL,
    idle_since INTEGER
) STRICT;

CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    comment TEXT NOT NULL,
    distribution TEXT NOT NULL,
    component TEXT NOT NULL,
    list INTEGER NOT NULL REFERENCES list (id),
    changed TEXT NOT NULL
) STRICT;
CREATE INDEX repository_by_list ON repository (list);

CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    component TEXT NOT NULL,
    list INTEGER NOT NULL REFERENCES list (id),
    created TEXT NOT NULL
) STRICT;
CREATE INDEX snapshot_by_list ON snapshot (list);

-- The repositories and snapshots that a snapshot was made of. One that was dropped by force leaves no row.
CREATE TABLE snapshot_source (
    snapshot INTEGER NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    repository INTEGER REFERENCES repository (id),
    of_snapshot INTEGER REFERENCES snapshot (id),
    PRIMARY KEY (snapshot, position),
    CHECK ((repository IS NULL) != (of_snapshot IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX source_by_repository ON snapshot_source (repository);
CREATE INDEX source_by_snapshot ON snapshot_source (of_snapshot);
";

/// Keeps the row of a path when its file is collected: a served index may name the path for longer than the store has the file.
const STEP_2: &str = "
DROP INDEX path_by_file;
ALTER TABLE path RENAME TO old_path;

-- The paths below pool/COMPONENT/ that files are published under. A path leads to one content for ever.
CREATE TABLE path (
    path TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT, WITHOUT ROWID;
INSERT INTO path (path, sha256) SELECT path, sha256 FROM old_path;
DROP TABLE old_path;
";

/// Makes the database if there is none. It is whole when it gets its name, so that of several processes that make it at once one makes it.
pub(super) fn create(path: &Path) -> Result<()> {
    if path.try_exists().map_err(Error::io("look at", path))? {
        return Ok(());
    }
    let made = durable::private_temporary(path)?;
    let mut connection = Connection::open(made.path()).map_err(StoreError::from)?;
    set_journal(&connection)?;
    migrate(&mut connection)?;
    // The log goes into the file when the last connection ends.
    connection
        .close()
        .map_err(|(_, error)| StoreError::from(error))?;
    let file = File::open(made.path()).map_err(Error::io("open", made.path()))?;
    file.sync_all().map_err(Error::io("fsync", made.path()))?;
    match made.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("rename into place", path)(error.error));
        }
        _ => {}
    }
    durable::sync_dir(path.parent().unwrap_or(path))
}

/// Turns the write-ahead log on, where the file system can have one.
pub(super) fn set_journal(connection: &Connection) -> Result<(), StoreError> {
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    match journal.as_str() {
        "wal" => Ok(()),
        _ => Err(StoreError::NoSharedMemory),
    }
}

/// Brings the tables to the present version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    migrate_to(connection, VERSION)
}

/// Brings the tables to a version, each step in a transaction of its own.
pub(super) fn migrate_to(connection: &mut Connection, to: i64) -> Result<(), StoreError> {
    while version(connection)? != to {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = version(&transaction)?;
        if version > VERSION {
            return Err(StoreError::Newer {
                version,
                known: VERSION,
            });
        }
        let Some(step) = usize::try_from(version).ok().and_then(|n| STEPS.get(n)) else {
            return Ok(());
        };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses tables of another version, to one who only looks.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let (version, known) = (version(connection)?, VERSION);
    match version.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { version, known }),
        Ordering::Less => Err(StoreError::Older { version, known }),
    }
}

/// Returns the version of the tables; 0 if there are none.
fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
