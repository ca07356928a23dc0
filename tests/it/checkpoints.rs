//! Checkpoints: they save time in the next run, and can never make a wrong tree pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::{Site, files};
use crate::common::state;
use crate::common::upstream::{NEWER, stanza};

const INDEX: &str = "main/binary-amd64/Packages";

/// A published site with an index of many pieces.
fn site() -> Site {
    let site = Site::new();
    let mut suite = site.main();
    let mut text = suite.index(INDEX);
    for number in 0..18_000 {
        let stanza = stanza(&format!("a{number}"));
        let filler = format!("Homepage: https://site.example/{}\n", "x".repeat(200));
        text.push_str(&format!("\n{stanza}{filler}"));
    }
    suite.put_index(INDEX, text.as_bytes());
    suite.set("Date", NEWER);
    suite.sign();
    site.publish()
}

fn published(site: &Site) -> Vec<PathBuf> {
    let forms = ["gz", "xz"];
    let path = |form| site.merged(&format!("dists/daedalus/{INDEX}.{form}"));
    forms.map(path).to_vec()
}

/// The records of the two forms of the index.
fn records(site: &Site) -> Vec<PathBuf> {
    let name = |path: PathBuf| hex::encode(Sha256::digest(fs::read(path).unwrap()));
    let names = published(site).into_iter().map(name);
    names
        .map(|name| site.path("site/state/checked").join(name))
        .collect()
}

/// Has the overlay publish one more package, the last of the index.
fn add(site: &Site, number: i64) {
    let date = "2026-02-03T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let date = date + jiff::SignedDuration::from_hours(number);
    site.edit_overlay("daedalus", INDEX, date, |text| {
        let text = text.trim_end_matches('\n');
        format!("{text}\n\n{}", stanza(&format!("z{number}")))
    });
}

/// Publishes one more package.
#[track_caller]
fn change(site: &Site, number: i64) {
    add(site, number);
    let said = site.run(&[]);
    said.expect(0, &[]);
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    // The records are those of what is published, and no others.
    let found: BTreeSet<_> = files(&site.path("site/state/checked"))
        .into_iter()
        .collect();
    assert_eq!(found, records(site).into_iter().collect());
}

/// The tree is right, also by the programs of others.
#[track_caller]
fn is_right(site: &Site) {
    site.aptmerge(&["verify"]).expect(0, &[]);
    for (path, program) in published(site).iter().zip(["gzip", "xz"]) {
        let output = Command::new(program).arg("-t").arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

fn read_record(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

/// Writes a record as the program would, with a right seal.
fn write_record(path: &Path, record: &Value) {
    let text = record.to_string();
    let name = path.file_name().unwrap().to_str().unwrap();
    let sealed = format!("{name}\n1 {}\n{text}", env!("CARGO_PKG_VERSION"));
    let seal = hex::encode(Sha256::digest(sealed));
    fs::write(path, format!("{seal}\n{text}")).unwrap();
}

fn states(record: &mut Value) -> Vec<&mut Value> {
    let pieces = record["pieces"].as_array_mut().unwrap();
    pieces.iter_mut().map(|piece| &mut piece["state"]).collect()
}

#[test]
fn a_damaged_record_costs_time_and_no_more() {
    type Disturbance = fn(&[PathBuf]);
    let site = site();
    let disturbances: [(&str, Disturbance); 6] = [
        ("nothing", |_| {}),
        ("a flipped bit", |records| {
            for path in records {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }
        }),
        ("no records", |records| {
            records
                .iter()
                .for_each(|path| fs::remove_file(path).unwrap());
        }),
        ("swapped records", |records| {
            let texts: Vec<_> = records.iter().map(|path| fs::read(path).unwrap()).collect();
            fs::write(&records[0], &texts[1]).unwrap();
            fs::write(&records[1], &texts[0]).unwrap();
        }),
        ("a wrong state under a right seal", |records| {
            for path in records {
                let mut record = read_record(path);
                for state in states(&mut record) {
                    let text = state.as_str().unwrap();
                    let digit = if &text[20..21] == "0" { "1" } else { "0" };
                    *state = format!("{}{digit}{}", &text[..20], &text[21..]).into();
                }
                write_record(path, &record);
            }
        }),
        ("no directory", |records| {
            fs::remove_dir_all(records[0].parent().unwrap()).unwrap();
        }),
    ];
    for (number, (what, disturb)) in disturbances.iter().enumerate() {
        eprintln!("{what}");
        disturb(&records(&site));
        change(&site, number as i64);
        is_right(&site);
        assert!(
            site.index(&format!("dists/daedalus/{INDEX}"))
                .contains(&format!("Package: z{number}\n"))
        );
    }
    if has("apt-get") {
        let source = format!(
            "deb [signed-by={} check-valid-until=no] file:{} daedalus main\n",
            site.path("keys/publish.gpg").display(),
            site.path("site/merged").display()
        );
        let apt = Apt::new(&["amd64"], &source, "Acquire::Languages \"none\";");
        apt.ok("apt-get", &["update"]);
        assert_eq!(apt.candidate("z5"), "1.0");
        assert_eq!(apt.candidate("a17999"), "1.0");
    }
}

/// Makes the first state of each record one that no reading uses as long as a later one holds.
fn mark(site: &Site) {
    for path in records(site) {
        let mut record = read_record(&path);
        let states = states(&mut record);
        assert!(states.len() > 2, "{}", states.len());
        *states.into_iter().next().unwrap() = "01".into();
        write_record(&path, &record);
    }
}

/// Returns whether the records were made from marked ones.
#[track_caller]
fn are_marked(site: &Site) -> bool {
    let is_marked = |path: &PathBuf| *states(&mut read_record(path))[0] == "01";
    let marked: BTreeSet<bool> = records(site).iter().map(is_marked).collect();
    assert_eq!(marked.len(), 1);
    marked.contains(&true)
}

#[test]
fn a_record_is_used_unless_something_is_distrusted() {
    let site = site();
    mark(&site);
    change(&site, 1);
    is_right(&site);
    assert!(are_marked(&site));
    // A suite that fails its check is made anew, and read as a whole.
    for entry in files(&site.path("site/cache")) {
        let name = entry.to_string_lossy();
        if entry.is_file() && (name.contains("/cache/xz-") || name.contains("/cache/gz-")) {
            state::forge(&entry, |content| {
                let mut content = content.to_vec();
                let middle = content.len() / 2;
                content[middle] ^= 1;
                content
            });
        }
    }
    add(&site, 2);
    site.run(&[])
        .expect(0, &["the check before the swap found", "it was made again"]);
    is_right(&site);
    assert!(!are_marked(&site));
    // Where nothing that was published is trusted, nothing that was checked is either.
    mark(&site);
    site.run(&["--rebuild"]).expect(0, &[]);
    is_right(&site);
    assert!(!are_marked(&site));
}
