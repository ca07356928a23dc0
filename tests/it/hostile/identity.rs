//! Archives that call themselves something else, or say so much of themselves that no Release of ours could hold it.

use std::fs;

use sequoia_openpgp::serialize::SerializeInto;

use super::catalogue::{check, entry, later, let_pass, run, signed};
use super::signatures::Odd;
use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::NEWER;

/// The field of a suite's Release that the configuration sets.
fn set(site: &Site, fields: &str) {
    let with = format!("[suites.daedalus]\nrelease = {{ {fields} }}");
    site.change_config("[suites.daedalus]", &with);
}

/// An apt that reads the merged suite.
fn apt(site: &Site) -> Apt {
    let key = site.path("keys/publish-a.gpg");
    let merged = site.root().join("merged");
    let source = format!(
        "deb [signed-by={}] file:{} daedalus main\n",
        key.display(),
        merged.display()
    );
    Apt::new(&["amd64"], &source, "")
}

#[test]
fn refused() {
    check(&[
        later(
            "NotAutomatic appears",
            &[
                "changed its NotAutomatic from `` to `yes`",
                "--allow-identity-change",
            ],
            |site| {
                let mut suite = site.overlay();
                suite.set("Date", NEWER);
                suite.set("NotAutomatic", "yes");
                suite.sign();
            },
        ),
        signed(
            "an Origin of 15,000 bytes",
            &["the Release is refused", "its Origin has 15000 bytes"],
            |suite| suite.set("Origin", &"x".repeat(15_000)),
        ),
        signed(
            "a Description of a megabyte",
            &["its Description has 1000000 bytes"],
            |suite| suite.set("Description", &format!("x{}", "\n y".repeat(333_333))),
        ),
        later(
            "a Description of 15,000 bytes in the first archive",
            &["overlay/dists/daedalus: the Release is refused: its Description has"],
            |site| {
                let mut suite = site.overlay();
                suite.set("Date", NEWER);
                suite.set("Description", &"x".repeat(15_000));
                suite.sign();
            },
        ),
    ]);
}

#[test]
fn blanks_at_the_ends_of_lines_are_no_obstacle() {
    let of = |name, field: &'static str, value: &'static str| {
        entry(name, &[], move |site| {
            let mut suite = site.overlay();
            suite.set("Date", NEWER);
            suite.set(field, value);
            // A clear-signed text would lose them.
            let key = Odd::new();
            fs::remove_file(suite.dir.join("InRelease")).unwrap();
            fs::write(suite.dir.join("Release"), &suite.body).unwrap();
            let signature = key.sign(suite.body.as_bytes());
            fs::write(suite.dir.join("Release.gpg"), signature).unwrap();
            let public = key.cert.strip_secret_key_material();
            fs::write(site.path("keys/overlay.gpg"), public.to_vec().unwrap()).unwrap();
        })
    };
    let_pass(&[
        of("a blank", "Description", "Words \t"),
        of("further lines", "Description", "a \n b\t \n\tc"),
        of("an empty first line", "Description", "\n b \n c"),
    ]);
}

#[test]
fn apt_asks_about_what_is_guarded_and_about_nothing_else() {
    if !has("apt-get") {
        return;
    }
    let before =
        "Origin = \"O\", Label = \"L\", Version = \"1\", Codename = \"daedalus\", Suite = \"s\"";
    let pin = "NotAutomatic = \"yes\", ButAutomaticUpgrades = \"yes\"";
    let both = format!("{before}, {pin}");
    let with = |old: &str, new: &str| before.replace(old, new);
    for (from, to) in [
        (before, with("\"O\"", "\"P\"")),
        (before, with("\"L\"", "\"P\"")),
        (before, with("\"1\"", "\"2\"")),
        (before, with("\"s\"", "\"t\"")),
        (before, format!("{before}, Description = \"x\"")),
        (before, format!("{before}, NotAutomatic = \"yes\"")),
        (before, format!("{before}, NotAutomatic = \"no\"")),
        (before, format!("{before}, ButAutomaticUpgrades = \"yes\"")),
        (before, both.clone()),
        (&both, before.to_owned()),
        (&both, format!("{before}, NotAutomatic = \"yes\"")),
        (&both, both.replace("yes", "true")),
    ] {
        let site = Site::new();
        set(&site, from);
        run(&site, &[]).expect(0, &[]);
        let apt = apt(&site);
        apt.ok("apt-get", &["update"]);
        set(&site, &to);
        let is_guarded = run(&site, &[]).code == Some(1);
        run(&site, &["--allow-identity-change"]).expect(0, &[]);
        let update = apt.call("apt-get", &["update"]);
        let told = String::from_utf8_lossy(&update.stderr);
        assert_eq!(is_guarded, !update.status.success(), "{to}: {told}");
        assert_eq!(is_guarded, told.contains("changed its"), "{to}: {told}");
    }
}

#[test]
fn a_client_goes_on_when_an_archive_is_no_longer_automatic() {
    if !has("apt-get") {
        return;
    }
    for archive in ["overlay", "main"] {
        let site = Site::published();
        let apt = apt(&site);
        apt.ok("apt-get", &["update"]);
        let mut suite = match archive {
            "overlay" => site.overlay(),
            _ => site.main(),
        };
        suite.set("Date", NEWER);
        suite.set("NotAutomatic", "yes");
        suite.sign();
        run(&site, &[]).expect(3, &[archive, "NotAutomatic", "last good copy"]);
        apt.ok("apt-get", &["update"]);
        // The copy in the spool is lost, and with it what the archive called itself: what is published still knows.
        fs::remove_dir_all(site.root().join("spool").join(archive)).unwrap();
        let code = run(&site, &[]).code;
        assert_eq!(code, Some(if archive == "overlay" { 1 } else { 0 }));
        apt.ok("apt-get", &["update"]);
        let allowed = run(&site, &["--allow-identity-change"]);
        allowed.expect(0, &[]);
    }
}
