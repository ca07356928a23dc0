//! `config check` finds what a run would fail on, and what keeps clients from packages; runs and `status` say the latter too.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::common::site::Site;

/// Checks the configuration; gives the keys of the problems and of the warnings.
fn check(site: &Site) -> (Vec<String>, Vec<String>) {
    let verdict = site.json_of(&["config", "check", "--json"]);
    let keys = |list: &Value| {
        let keys = list.as_array().unwrap().iter();
        keys.map(|problem| problem["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let found: (Vec<_>, Vec<_>) = (keys(&verdict["problems"]), keys(&verdict["warnings"]));
    assert_eq!(verdict["is-usable"], found.0.is_empty());
    let code = if found.0.is_empty() { 0 } else { 78 };
    site.aptmerge(&["config", "check"]).expect(code, &[]);
    found
}

#[test]
fn a_place_that_no_lock_can_have_is_a_fault() {
    let site = Site::published();
    fs::create_dir(site.path("directory")).unwrap();
    symlink("site/spool", site.path("elsewhere")).unwrap();
    for lock in [
        "site",
        "site/merged",
        "site/merged-volatile/lock",
        "site/merged-production/../spool/x/lock",
        "site/cache/lock",
        "site/log/lock",
        "elsewhere/lock",
        "directory",
        "/dev/null",
        "nowhere/lock",
    ] {
        site.change_config("root = ", &format!("lock = \"{lock}\"\nroot = "));
        assert_eq!(check(&site).0, ["lock"], "{lock}");
    }
    for lock in ["site/other.lock", "directory/lock", "site/state/lock"] {
        site.change_config("root = ", &format!("lock = \"{lock}\"\nroot = "));
        assert_eq!(check(&site), (vec![], vec![]), "{lock}");
        site.expect(0, &["run"]);
    }
    fs::set_permissions(site.path("directory"), fs::Permissions::from_mode(0o1777)).unwrap();
    site.change_config("root = ", "lock = \"directory/new\"\nroot = ");
    assert_eq!(check(&site).1, ["lock"]);
    site.change_config("root = ", "lock = \"/run/no-such-aptmerge/lock\"\nroot = ");
    let told = site.expect(78, &["config", "check"]);
    assert!(
        told.contains("tmpfiles.d") && told.contains("RuntimeDirectory"),
        "{told}"
    );
}

#[test]
fn a_root_that_is_none_is_a_fault() {
    let site = Site::new();
    assert_eq!(check(&site), (vec![], vec![])); // it is not there yet
    for root in ["/", "/.", "/srv/.."] {
        site.change_config("root = \"site\"", &format!("root = \"{root}\""));
        assert_eq!(check(&site).0, ["root"], "{root}");
        site.expect(78, &["run"]);
    }
    fs::write(site.path("file"), "").unwrap();
    site.change_config("root = \"site\"", "root = \"file\"");
    assert_eq!(check(&site).0, ["root"]);
}

const HTTP: &str = "redirect = \"http://archive.example/debian\"\nsigned-by = \"keys/main.gpg\"";

#[test]
fn a_redirect_that_apt_refuses_is_told() {
    let site = Site::new();
    let plain = "signed-by = \"keys/main.gpg\"";
    site.change_config(plain, HTTP);
    // Nobody says by what clients come.
    assert_eq!(check(&site).1, ["archives.main.redirect"]);
    assert_eq!(site.run(&[]).expect(0, &[]).stderr, "");
    let with_url = |url: &str| {
        site.change_config(plain, HTTP);
        site.configure("[publish]", &format!("[publish]\nurl = \"{url}\""));
    };
    with_url("http://deb.example/merged");
    assert_eq!(check(&site).1, [""; 0]);
    with_url("https://deb.example/merged");
    assert_eq!(check(&site).1, ["archives.main.redirect"]);
    let words = [
        "archives.main.redirect",
        "http://archive.example/debian",
        "apt refuses",
    ];
    site.run(&[]).expect(0, &words);
    assert!(site.ok(&["status"]).contains(words[0]));
    site.configure("http://archive", "https://archive");
    assert_eq!(check(&site).1, [""; 0]);
    assert_eq!(
        site.json(&["status", "--json"])["warnings"],
        serde_json::json!([])
    );
    with_url("file:///srv/merged");
    assert_eq!(check(&site).0, ["publish.url"]);
}

#[test]
fn rules_of_an_older_configuration_are_told() {
    let site = Site::new();
    site.configure("[publish]", "[publish]\nredirects = \"rules.conf\"");
    let rules = site.path("rules.conf");
    let told = |site: &Site| {
        let status = site.json(&["status", "--json"]);
        status["warnings"][0]["message"].as_str().map(str::to_owned)
    };
    site.run(&[])
        .expect(0, &["publish.redirects", "cannot read"]);
    for server in [&["nginx"][..], &["nginx", "--proxy"], &["apache"]] {
        let write = [&["config", "redirects"], server].concat();
        fs::write(&rules, site.ok(&write)).unwrap();
        assert_eq!(told(&site), None);
        // A new archive, a moved one, another pool.
        for (from, to) in [
            ("signed-by = \"keys/main.gpg\"", HTTP),
            ("pool = \"MAIN\"", "pool = \"OTHER\""),
        ] {
            site.configure(from, to);
            let why = told(&site).unwrap();
            assert!(why.contains("older than the configuration"), "{why}");
            assert!(check(&site).1.contains(&"publish.redirects".to_owned()));
            let hint = format!("config redirects {} >", server.join(" "));
            site.run(&["-v"]).expect(0, &["older", &hint]);
            site.configure(to, from);
        }
        // A setting that the rules do not depend on.
        site.configure("retries = 0", "retries = 1");
        assert_eq!(told(&site), None);
        site.configure("retries = 1", "retries = 0");
    }
    fs::write(&rules, "location /merged/ { }\n").unwrap();
    assert!(
        told(&site)
            .unwrap()
            .contains("no rules of `config redirects`")
    );
}
