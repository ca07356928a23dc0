//! A merge that takes too long ends, and leaves its suite as it is published.

use super::catalogue::run;
use crate::common::site::Site;

#[test]
fn a_merge_that_is_over_its_deadline_leaves_the_suite_as_it_is() {
    let site = Site::published();
    let before = site.served();
    site.news();
    site.change_config(
        "[fetch]",
        "[merge]\nsuite-timeout = \"0 seconds\"\n\n[fetch]",
    );
    let words = [
        "suite `daedalus` could not be merged within 0 seconds",
        "merge.suite-timeout",
    ];
    // Nothing else is there to be published.
    run(&site, &[]).expect(1, &words);
    assert_eq!(site.served(), before);
    site.aptmerge(&["verify"]).expect(0, &[]);
    site.restore_config();
    run(&site, &[]).expect(0, &[]);
    let packages = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(packages.contains("Package: newcomer\n"));
}
