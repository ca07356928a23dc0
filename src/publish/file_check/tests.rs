//! Tests of the check of one file: resumed readings against whole ones, and files that are damaged.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::compress::{Packed, assemble, gz, xz};

/// A directory with one file and the records.
struct Place {
    dir: TempDir,
    checkpoints: Checkpoints,
    form: Form,
}

/// A file in the place, as a Release lists it.
#[derive(Clone)]
struct Listed {
    path: PathBuf,
    bytes: Vec<u8>,
    entry: IndexEntry,
    plain: IndexEntry,
}

impl Listed {
    fn name(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }
}

fn entry(bytes: &[u8], template: &Hasher) -> IndexEntry {
    let mut hasher = template.clone();
    hasher.update(bytes);
    listed(&hasher.finish())
}

fn listed(found: &Digests) -> IndexEntry {
    IndexEntry {
        size: found.length,
        sha256: Some(found.sha256),
        sha512: found.sha512,
        md5: found.md5,
        sha1: found.sha1,
    }
}

/// Hashers of what Releases list.
fn hashers() -> [Hasher; 3] {
    [
        Hasher::new(),
        Hasher::with_sha512().and_md5(),
        Hasher::new().and_md5().and_sha1(),
    ]
}

fn packed(form: Form, piece: &[u8]) -> Packed {
    match form {
        Form::Xz => xz::encode(piece),
        Form::Gz => gz::encode(piece),
    }
    .unwrap()
}

fn reading() -> Option<Reading> {
    Reading::of("main/binary-amd64/Packages")
}

impl Place {
    fn new(form: Form) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(&dir.path().join("state"));
        Place {
            dir,
            checkpoints,
            form,
        }
    }

    fn record(&self, name: &str) -> PathBuf {
        self.dir.path().join("state/checked").join(name)
    }

    /// Writes a file of pieces.
    fn write(&self, pieces: &[String], template: &Hasher) -> Listed {
        let packed: Vec<_> = pieces
            .iter()
            .map(|p| packed(self.form, p.as_bytes()))
            .collect();
        let mut bytes = Vec::new();
        assemble(self.form, &packed, &mut bytes).unwrap();
        self.put(bytes, pieces.concat().as_bytes(), template)
    }

    /// Writes a file that is to unpack to a text.
    fn put(&self, bytes: Vec<u8>, text: &[u8], template: &Hasher) -> Listed {
        let path = self
            .dir
            .path()
            .join("Packages")
            .with_extension(self.form.suffix());
        fs::write(&path, &bytes).unwrap();
        Listed {
            path,
            entry: entry(&bytes, template),
            plain: entry(text, template),
            bytes,
        }
    }

    fn check(
        &self,
        file: &Listed,
        name: Option<&str>,
        reading: Option<Reading>,
    ) -> Result<Vec<String>, String> {
        let before = Before {
            checkpoints: &self.checkpoints,
            name,
        };
        self.listed(file).check(reading, Some(before))
    }

    /// Reads all of a file, and keeps nothing.
    fn check_whole(&self, file: &Listed) -> Result<Vec<String>, String> {
        self.listed(file).check(reading(), None)
    }

    fn listed<'a>(&self, file: &'a Listed) -> ListedFile<'a> {
        ListedFile {
            path: &file.path,
            compression: match self.form {
                Form::Xz => Compression::Xz,
                Form::Gz => Compression::Gzip,
            },
            entry: &file.entry,
            plain: Some(&file.plain),
        }
    }

    /// Marks the first checkpoint of a record, which no reading uses if a later one holds.
    fn mark(&self, name: &str) {
        let mut record = self.checkpoints.get(name).unwrap();
        record.pieces[0].state = vec![1];
        self.checkpoints.put(name, &record);
    }

    /// Returns whether a record was made from a marked one.
    fn is_marked(&self, name: &str) -> bool {
        self.checkpoints.get(name).unwrap().pieces[0].state == [1]
    }
}

fn piece(number: usize, stanzas: usize) -> String {
    let stanza = |n| {
        format!(
            "Package: p{number}-{n}\nVersion: {n}\nDescription: {}\n\n",
            "x".repeat(n)
        )
    };
    (0..stanzas).map(stanza).collect()
}

fn pieces(count: usize) -> Vec<String> {
    (0..count).map(|number| piece(number, 3 + number)).collect()
}

#[test]
fn a_successor_is_unpacked_from_its_first_new_piece_on() {
    for form in Form::ALL {
        for template in hashers() {
            let place = Place::new(form);
            let old = place.write(&pieces(5), &template);
            assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
            place.mark(&old.name());
            let mut changed = pieces(6);
            changed[3].insert_str(0, "Package: new\nVersion: 1\n\n");
            let new = place.write(&changed, &template);
            assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
            assert!(place.is_marked(&new.name()));
            let record = place.checkpoints.get(&new.name()).unwrap();
            assert_eq!(record.pieces.len(), 6);
            // Nothing is to be unpacked where the file only ends earlier.
            let new = place.write(&pieces(2), &template);
            assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
            assert!(place.is_marked(&new.name()));
            // A change of the first piece leaves nothing to go on from; nor does a file that is not on record.
            changed[0] = piece(9, 2);
            let new = place.write(&changed, &template);
            for before in [
                Some(&*old.name()),
                None,
                Some(&"0".repeat(64)),
                Some("../x"),
            ] {
                assert_eq!(place.check(&new, before, reading()), Ok(vec![]));
                assert!(!place.is_marked(&new.name()));
            }
        }
    }
}

#[test]
fn what_was_not_looked_for_before_is_looked_for_in_all_of_the_file() {
    for form in Form::ALL {
        let (place, template) = (Place::new(form), Hasher::new());
        let mut bad = pieces(4);
        bad[0].push_str("Package: bad\nVersion: 1\nDepends: a b\n\n");
        let old = place.write(&bad, &template);
        // The text was searched in another form of the index.
        assert_eq!(place.check(&old, None, None), Ok(vec![]));
        bad[3].push_str("Package: z\nVersion: 1\n\n");
        let new = place.write(&bad, &template);
        let faults = place.check(&new, Some(&old.name()), reading()).unwrap();
        assert!(
            faults.len() == 1 && faults[0].contains("`bad`"),
            "{faults:?}"
        );
        assert_eq!(place.checkpoints.get(&new.name()), None);
        // Other hashes have other states.
        let new = place.write(&bad, &Hasher::with_sha512());
        assert_eq!(place.check(&new, Some(&old.name()), None), Ok(vec![]));
    }
}

#[test]
fn a_fault_in_a_new_piece_is_found() {
    for form in Form::ALL {
        let (place, template) = (Place::new(form), Hasher::new());
        let mut text = pieces(4);
        let old = place.write(&text, &template);
        assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
        text[2].push_str("Package: bad\nVersion: 1\nDepends: a b\n\n");
        let new = place.write(&text, &template);
        let faults = place.check(&new, Some(&old.name()), reading()).unwrap();
        assert!(
            faults.len() == 1 && faults[0].contains("`bad`"),
            "{faults:?}"
        );
    }
}

/// A writer that goes on from a wrong state signs a digest that no client arrives at.
#[test]
fn a_wrong_state_of_the_writer_is_refused() {
    for form in Form::ALL {
        let (place, template) = (Place::new(form), Hasher::with_sha512());
        let text = pieces(5);
        let old = place.write(&text, &template);
        assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
        let mut hasher = template.clone();
        text[..3]
            .iter()
            .for_each(|piece| hasher.update(piece.as_bytes()));
        let state = hasher.export();
        let mut changed = text.clone();
        changed[4].push_str("Package: new\nVersion: 1\n\n");
        let mut new = place.write(&changed, &template);
        let mut tried = 0;
        for at in 0..state.len() {
            let mut state = state.clone();
            state[at] ^= 0x10;
            let Some(mut hasher) = Hasher::import(&state) else {
                continue;
            };
            changed[3..]
                .iter()
                .for_each(|piece| hasher.update(piece.as_bytes()));
            let plain = listed(&hasher.finish());
            if plain.size == new.plain.size
                && plain.sha256 == new.plain.sha256
                && plain.sha512 == new.plain.sha512
            {
                // A byte of the buffer that is not in use.
                continue;
            }
            let listed = Listed {
                plain,
                ..new.clone()
            };
            let why = place
                .check(&listed, Some(&old.name()), reading())
                .unwrap_err();
            assert!(why.contains("unpacked"), "{why}");
            tried += 1;
        }
        assert!(tried > 100, "{tried}");
        // The right one is not.
        new.plain = entry(changed.concat().as_bytes(), &template);
        assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
    }
}

#[test]
fn a_damaged_record_is_none() {
    for form in Form::ALL {
        let (place, template) = (Place::new(form), Hasher::with_sha512());
        let mut text = pieces(4);
        let old = place.write(&text, &template);
        assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
        let path = place.record(&old.name());
        let whole = fs::read(&path).unwrap();
        text[3].push_str("Package: new\nVersion: 1\n\n");
        let new = place.write(&text, &template);
        assert_eq!(place.check(&new, None, reading()), Ok(vec![]));
        let right = fs::read(place.record(&new.name())).unwrap();
        let holds = |spoilt: &[u8], what: &str| {
            fs::write(&path, spoilt).unwrap();
            assert_eq!(place.checkpoints.get(&old.name()), None, "{what}");
        };
        for at in (0..whole.len()).step_by(37) {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1 << (at % 8);
            holds(&spoilt, &format!("bit {at}"));
            holds(&whole[..at], &format!("length {at}"));
        }
        // The record of another file.
        holds(&right, "swapped");
        assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
        assert_eq!(fs::read(place.record(&new.name())).unwrap(), right);
        // A FIFO, and a directory.
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(place.check(&new, Some(&old.name()), reading()), Ok(vec![]));
    }
}

/// A fault of memory while a record is made gives it a right seal.
#[test]
fn a_wrong_record_costs_time_and_no_more() {
    type Spoil = fn(&mut CheckedFile);
    let spoils: [Spoil; 7] = [
        |record| record.pieces[2].state[9] ^= 1,
        |record| record.pieces[2].state.truncate(20),
        |record| record.pieces[2].part.plain += 1,
        |record| record.pieces[1].part.note ^= 1,
        |record| record.pieces[1].part.packed ^= 4,
        |record| record.pieces[2].begin[0] ^= 1,
        |record| drop(record.pieces.remove(1)),
    ];
    for form in Form::ALL {
        for (number, spoil) in spoils.iter().enumerate() {
            let (place, template) = (Place::new(form), Hasher::with_sha512());
            let mut text = pieces(4);
            let old = place.write(&text, &template);
            assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
            let mut record = place.checkpoints.get(&old.name()).unwrap();
            spoil(&mut record);
            place.checkpoints.put(&old.name(), &record);
            text[3].push_str("Package: new\nVersion: 1\n\n");
            let new = place.write(&text, &template);
            assert_eq!(
                place.check(&new, Some(&old.name()), reading()),
                Ok(vec![]),
                "{number}"
            );
            let made = place.checkpoints.get(&new.name()).unwrap();
            assert_eq!(place.check(&new, None, reading()), Ok(vec![]));
            assert_eq!(Some(made), place.checkpoints.get(&new.name()), "{number}");
        }
    }
}

#[test]
fn a_distrusted_record_is_not_read_and_is_replaced() {
    let (place, template) = (Place::new(Form::Gz), Hasher::new());
    let old = place.write(&pieces(4), &template);
    assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
    let name = old.name();
    place.mark(&name);
    let place = Place {
        checkpoints: place.checkpoints.distrusted(),
        ..place
    };
    assert_eq!(place.check(&old, Some(&name), reading()), Ok(vec![]));
    let trusted = Checkpoints::new(&place.dir.path().join("state"));
    assert_ne!(trusted.get(&name).unwrap().pieces[0].state, [1]);
}

/// Packs a text in the ways of others.
fn packed_by_others(form: Form, text: &[u8]) -> Vec<Vec<u8>> {
    let half = text.len() / 2;
    let halves = [packed(form, &text[..half]), packed(form, &text[half..])];
    let halves = halves.map(|half| {
        let mut file = Vec::new();
        assemble(form, &[half], &mut file).unwrap();
        file
    });
    let mut others = vec![halves.concat()];
    match form {
        Form::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(text).unwrap();
            others.push(encoder.finish().unwrap());
        }
        Form::Gz => {
            let level = flate2::Compression::new(6);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&text[..half]).unwrap();
            // A flush that keeps what stands before it.
            encoder.flush().unwrap();
            encoder.write_all(&text[half..]).unwrap();
            others.push(encoder.finish().unwrap());
            let mut ours = others[1].clone();
            ours[..10].copy_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
            others.push(ours);
        }
    }
    others
}

#[test]
fn what_others_packed_is_read_as_a_whole() {
    for form in Form::ALL {
        let (place, template) = (Place::new(form), Hasher::new());
        let text = pieces(20).concat();
        for bytes in packed_by_others(form, text.as_bytes()) {
            let file = place.put(bytes, text.as_bytes(), &template);
            assert_eq!(
                place.check(&file, Some(&file.name()), reading()),
                Ok(vec![])
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Through random changes, a reading from a checkpoint on finds what a whole reading finds.
    #[test]
    fn a_checkpoint_changes_no_answer(
        is_xz in any::<bool>(),
        sizes in proptest::collection::vec(0..9usize, 1..7),
        changes in proptest::collection::vec((0..7usize, 0..9usize, 0..4u8), 1..4),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8u8), 6),
    ) {
        let place = Place::new(if is_xz { Form::Xz } else { Form::Gz });
        let template = Hasher::with_sha512();
        let mut text: Vec<String> = sizes.iter().enumerate().map(|(n, size)| piece(n, 1 + size)).collect();
        let mut old = place.write(&text, &template);
        prop_assert_eq!(place.check(&old, None, reading()), Ok(vec![]));
        for (at, size, kind) in changes {
            let at = at % text.len();
            match kind {
                0 => text.insert(at, piece(100, 1 + size)),
                1 if text.len() > 1 => drop(text.remove(at)),
                2 => text[at].push_str("Package: bad\nVersion: 1\nDepends: a b\n\n"),
                _ => text[at] = piece(200, 1 + size),
            }
            let new = place.write(&text, &template);
            let name = old.name();
            let whole = place.check_whole(&new);
            prop_assert_eq!(&place.check(&new, Some(&name), reading()), &whole);
            if whole == Ok(vec![]) {
                let resumed = place.checkpoints.get(&new.name());
                prop_assert_eq!(&place.check(&new, None, reading()), &whole);
                prop_assert_eq!(resumed, place.checkpoints.get(&new.name()));
            }
            for (at, bit) in &flips {
                let at = at.index(new.bytes.len());
                let mut flipped = new.bytes.clone();
                flipped[at] ^= 1 << bit;
                // The Release lists the right file, then the wrong one.
                for bytes in [flipped, new.bytes[..at].to_vec()] {
                    let wrong = place.put(bytes, text.concat().as_bytes(), &template);
                    let listed = Listed { entry: new.entry, ..wrong.clone() };
                    prop_assert!(place.check(&listed, Some(&name), reading()).is_err());
                    prop_assert_eq!(place.check(&wrong, Some(&name), reading()), place.check_whole(&wrong));
                }
            }
            old = new;
        }
    }
}
