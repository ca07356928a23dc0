//! Servers that answer with 403 or 410 for what is not there, as object stores do, and what the real apt makes of them.

use std::fs;
use std::path::Path;

use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::NEWER;
use crate::common::web::Mirror;

const PACKAGES: &str = "dists/bookworm/main/binary-amd64/Packages";

/// Returns a site whose archive `main` comes from a server with this answer for whatever is not there.
fn site_of_store(status: u16) -> (Site, Mirror) {
    let site = Site::new();
    let root = site.path("archives");
    let mirror = Mirror::of(&root);
    let file = format!("file://{}/main", root.display());
    site.configure(&file, &format!("{}/main", mirror.uri()));
    mirror.behave(move |path| (!root.join(path).is_file()).then(|| (status, Vec::new())));
    (site, mirror)
}

/// Removes a file of `main`, which its Release lists all the same, or a directory.
fn remove(site: &Site, path: &str) {
    let path = site.path("archives/main").join(path);
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// The words of apt about the archive, and whether it succeeds.
fn apt_update(site: &Site, mirror: &Mirror) -> (bool, String) {
    let key = site.path("keys/main.gpg");
    let source = format!(
        "deb [signed-by={} check-valid-until=no] {}/main bookworm main",
        key.display(),
        mirror.uri()
    );
    let apt = Apt::new(&["amd64"], &source, "Acquire::Languages \"none\";");
    let output = apt.call("apt-get", &["update"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn a_form_that_is_refused_is_a_form_that_is_not_there() {
    for status in [403, 410] {
        let (site, mirror) = site_of_store(status);
        site.configure(
            "indices = [\"packages\", \"sources\"]",
            "indices = [\"packages\", \"sources\", \"contents\", \"translations\"]",
        );
        remove(&site, "dists/bookworm/main/binary-amd64/by-hash");
        remove(&site, &format!("{PACKAGES}.xz"));
        remove(&site, "dists/bookworm/main/Contents-amd64.gz");
        remove(&site, "dists/bookworm/main/i18n");
        site.run(&[]).expect(0, &[]);
        let index = site.index("dists/daedalus/main/binary-amd64/Packages");
        assert!(index.contains("Package: main-only\n"));
        site.aptmerge(&["verify"]).expect(0, &[]);
        if has("apt-get") {
            let (succeeded, said) = apt_update(&site, &mirror);
            assert!(succeeded, "{said}");
        }
    }
}

/// apt 2.6 gives up where InRelease is refused with 403 or 410. Here the Release is asked for: its signature is verified all the same.
#[test]
fn a_release_with_its_signature_apart_is_found_where_inrelease_is_refused() {
    for status in [403, 410] {
        let (site, _mirror) = site_of_store(status);
        remove(&site, "dists/bookworm/InRelease");
        site.run(&[]).expect(0, &[]);
    }
}

#[test]
fn what_is_wanted_and_refused_is_told_of_as_refused() {
    let (site, _mirror) = site_of_store(403);
    let directory = Path::new(PACKAGES).parent().unwrap();
    remove(&site, directory.to_str().unwrap());
    site.run(&[]).expect(
        1,
        &[
            PACKAGES,
            "the server refuses it with status 403, as object stores do for what is not there",
            "if the archive has the file, look at its permissions there",
        ],
    );
    for missing in ["Release.gpg", "Release"] {
        let (site, _mirror) = site_of_store(403);
        remove(&site, "dists/bookworm/InRelease");
        remove(&site, &format!("dists/bookworm/{missing}"));
        let words = [
            &format!("{missing}: refused with status 403"),
            "object stores answer so for what is not there: check the URI and `from`",
        ];
        site.run(&[]).expect(1, &words);
    }
}

#[test]
fn translations_that_come_to_be_refused_are_warned_of() {
    let (site, _mirror) = site_of_store(403);
    site.configure(
        "indices = [\"packages\", \"sources\"]",
        "indices = [\"packages\", \"sources\", \"translations\"]",
    );
    site.run(&[]).expect(0, &[]);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.unlist("main/i18n/");
    suite.mention("main/i18n/Translation-en.xz", b"other than before");
    suite.sign();
    remove(&site, "dists/bookworm/main/i18n");
    let words = ["status 403", "as it was before; going on without it"];
    site.run(&[]).expect(0, &words);
}
