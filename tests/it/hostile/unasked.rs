//! Packages that nobody asks for: a name that is new belongs to whoever brings it, and a few fields put it on every machine.

use super::catalogue::{PACKAGES, run};
use super::names::{client, publish};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST, Suite, stanza};

const FIELDS: [(&str, &str); 3] = [
    ("evil-essential", "Essential: yes\n"),
    ("evil-kept", "Protected: yes\nImportant:\n yes\n"),
    ("evil-required", "Priority: required\n"),
];

fn bring(suite: Suite, date: &str) {
    let all = FIELDS.map(|(name, fields)| (PACKAGES, stanza(name) + fields));
    publish(suite, date, &all);
}

#[test]
fn what_is_installed_unasked_is_told_once_when_it_appears() {
    let site = Site::published();
    bring(site.main(), NEWER);
    run(&site, &[]).expect(
        0,
        &[
            "`evil-essential` of main is now `Essential`: dist-upgrade installs it on every client unasked",
            "`evil-kept` of main is now `Important` or `Protected`",
            "`evil-required` of main is now of priority `required` or `important`: debootstrap installs it",
            "may-be-essential = false in [archives.main]",
        ],
    );
    if let Some(apt) = client(&site, &["amd64"]) {
        let said = apt.ok("apt-get", &["--simulate", "dist-upgrade"]);
        assert!(said.contains("Inst evil-essential "), "{said}");
    }
    // They are no news in the next run that makes the suite anew, nor is what was published before.
    publish(site.main(), NEWEST, &[(PACKAGES, stanza("newcomer"))]);
    assert_eq!(run(&site, &[]).expect(0, &[]).stderr, "");
    assert_eq!(run(&site, &["--rebuild"]).expect(0, &[]).stderr, "");
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn an_archive_that_may_not_be_essential_is_not() {
    let site = Site::published();
    bring(site.main(), NEWER);
    let mut overlay = site.overlay();
    overlay.set("Date", NEWER);
    let own = stanza("own-essential") + "Essential: yes\nPriority: required\n";
    overlay.append_stanza(PACKAGES, &own);
    overlay.sign();
    let pool = "pool = \"MAIN\"";
    site.change_config(pool, &format!("{pool}\nmay-be-essential = false"));
    let said = run(&site, &[]);
    said.expect(0, &["`own-essential` of overlay is now `Essential`"]);
    assert!(!said.stderr.contains("evil"), "{}", said.stderr);
    site.aptmerge(&["verify"]).expect(0, &[]);
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    let text = format!("\n\n{text}");
    for (name, _) in FIELDS {
        // All the rest of the stanza is there as it was.
        let rest = stanza(name).replace("pool/main", "pool/MAIN/main");
        assert!(text.contains(&format!("\n\n{rest}\n")), "{name}: {text}");
    }
    assert!(text.contains("Essential: yes\nPriority: required\n"));
    if let Some(apt) = client(&site, &["amd64"]) {
        let said = apt.ok("apt-get", &["--simulate", "dist-upgrade"]);
        assert!(said.contains("Inst own-essential "), "{said}");
        assert!(!said.contains("evil"), "{said}");
    }
    // What is set is in force at once.
    site.restore_config();
    run(&site, &[]).expect(0, &["`evil-essential` of main is now `Essential`"]);
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(text.contains("Protected: yes\nImportant:\n yes\n"));
}
