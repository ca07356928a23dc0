//! Tests of the store from inside: versions of its tables, file systems.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn file_systems_over_a_network_are_told_from_others() {
    assert_eq!(network(FsType(0x6969)), Some("NFS"));
    assert_eq!(network(FsType(0xfe53_4d42_u32 as _)), Some("SMB"));
    // ext4, tmpfs, btrfs
    for local in [0xef53_u32, 0x0102_1994, 0x9123_683e] {
        assert_eq!(network(FsType(local as _)), None);
    }
}

#[test]
fn tables_of_each_version_become_the_present_ones() {
    let directory = tempfile::tempdir().unwrap();
    let describe = |connection: &Connection| {
        let sql = "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY type, name";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get::<_, String>(2)?])
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let store = Store::open(directory.path()).unwrap();
    let present = describe(store.db());
    for version in 0..schema::VERSION {
        let mut old = Connection::open_in_memory().unwrap();
        schema::migrate_to(&mut old, version).unwrap();
        schema::check(&old).unwrap_err();
        schema::migrate_to(&mut old, schema::VERSION).unwrap();
        schema::check(&old).unwrap();
        assert_eq!(describe(&old), present, "from version {version}");
    }
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let newer = schema::VERSION + 1;
    let store = Store::open(directory.path()).unwrap();
    store
        .db()
        .pragma_update(None, "user_version", newer)
        .unwrap();
    drop(store);
    for error in [
        Store::open(directory.path()).unwrap_err(),
        View::open(directory.path()).unwrap_err(),
    ] {
        assert!(
            matches!(error.downcast_ref(), Some(StoreError::Newer { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_path_that_was_given_before_stays_given() {
    let mut old = Connection::open_in_memory().unwrap();
    old.pragma_update(None, "foreign_keys", "ON").unwrap();
    schema::migrate_to(&mut old, 1).unwrap();
    old.execute_batch(
        "INSERT INTO file VALUES (zeroblob(32), 1, zeroblob(16), zeroblob(20), zeroblob(64));
         INSERT INTO path VALUES ('h/hello/hello_1_amd64.deb', zeroblob(32));",
    )
    .unwrap();
    schema::migrate(&mut old).unwrap();
    old.execute("DELETE FROM file", []).unwrap();
    let count = old.query_row("SELECT count(*) FROM path", [], |row| row.get::<_, i64>(0));
    assert_eq!(count.unwrap(), 1);
}

#[test]
fn a_store_that_was_put_back_has_its_log_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    let path = Layout::new(directory.path()).store();
    let journal = |connection: &Connection| {
        let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
        mode.unwrap()
    };
    let plain = Connection::open(&path).unwrap();
    plain
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .unwrap();
    let mode: String = journal(&plain);
    assert_eq!(mode, "delete");
    drop(plain);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(journal(store.db()), "wal");
}

#[test]
fn symlinks_in_a_directory_are_counted_as_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let package = directory.path().join("a_1_amd64.deb");
    std::fs::write(&package, "").unwrap();
    std::os::unix::fs::symlink(&package, directory.path().join("b_1_amd64.deb")).unwrap();
    let found = find(&[directory.path().to_owned()]).unwrap();
    assert_eq!(found.packages, [package]);
    assert_eq!(found.passed_over, 1);
}
