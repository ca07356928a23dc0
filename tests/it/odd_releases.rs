//! Releases that are odd and legal: what apt makes of them, and what we do.

use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST};

/// Has main's Release give these names, dated anew.
fn call_main(site: &Site, date: &str, suite: Option<&str>, codename: Option<&str>) {
    let mut release = site.main();
    release.set("Date", date);
    for (field, name) in [("Suite", suite), ("Codename", codename)] {
        release.remove(field);
        if let Some(name) = name {
            release.set(field, name);
        }
    }
    release.sign();
}

#[test]
fn a_suite_that_calls_itself_otherwise_is_taken_by_a_setting_that_the_error_names() {
    for (suite, codename, setting) in [
        (Some("resolute"), Some("resolute"), "called = \"resolute\""),
        (None, Some("buster"), "called = \"buster\""),
        (None, None, "called = \"\""),
    ] {
        let mut site = Site::new();
        call_main(&site, NEWER, suite, codename);
        let table = "[archives.main.suites.bookworm]";
        site.run(&[])
            .expect(1, &["and not of `bookworm`", setting, table]);
        site.set_extra(&format!("{table}\ncalled = [\"other\"]\n"));
        site.run(&[]).expect(1, &["and not of `bookworm`"]);
        site.set_extra(&format!("{table}\n{setting}\n"));
        site.run(&[]).expect(0, &[]);
        // By its own name it may call itself as well, and by a third one not.
        call_main(&site, NEWEST, Some("stable"), Some("bookworm"));
        let allow = ["--allow-identity-change"];
        site.run(&allow).expect(0, &[]);
        call_main(&site, NEWEST, Some("stable"), Some("trixie"));
        site.run(&allow)
            .expect(3, &["Suite `stable`, Codename `trixie`"]);
    }
}
