//! Shows that what lies on our own disk is held again before it is published, and that nothing is removed but what is ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::programs::{Said, has};
use crate::common::site::Site;
use crate::common::state;
use crate::common::upstream::{gz, signing_time, stanza, xz};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use sha2::{Digest, Sha256};

const INDEX: &str = "main/binary-amd64/Packages";

fn copy_path(site: &Site) -> PathBuf {
    site.path("site/spool/main/bookworm.json")
}

fn read_copy(site: &Site) -> Value {
    serde_json::from_slice(&fs::read(copy_path(site)).unwrap()).unwrap()
}

fn write_copy(site: &Site, copy: &Value) {
    fs::write(copy_path(site), serde_json::to_vec(copy).unwrap()).unwrap();
}

/// Puts a text into the spool as an object; its name.
fn put_object(site: &Site, text: &[u8]) -> String {
    let name = hex::encode(Sha256::digest(text));
    let path = site.path(format!("site/spool/objects/{}/{name}.zst", &name[..2]));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, zstd::encode_all(text, 1).unwrap()).unwrap();
    name
}

/// Names in a copy another object for an index: one with a package that the archive never had. Its text.
fn forge_index(site: &Site, copy: &mut Value) -> String {
    let object = copy["indices"][INDEX]["sha256"].as_str().unwrap();
    let path = format!("site/spool/objects/{}/{object}.zst", &object[..2]);
    let text = zstd::decode_all(fs::File::open(site.path(&path)).unwrap()).unwrap();
    let text = format!(
        "{}\n{}",
        String::from_utf8(text).unwrap(),
        stanza("planted")
    );
    copy["indices"][INDEX]["sha256"] = put_object(site, text.as_bytes()).into();
    copy["indices"][INDEX]["size"] = text.len().into();
    text
}

/// Lists a text in the Release of a copy as the index, so that the copy is at one with itself.
fn forge_release(copy: &mut Value, text: &str) {
    let release = copy["release"].as_str().unwrap();
    let lines = release.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [hash, _, INDEX] if hash.len() == 64 => {
                let hash = hex::encode(Sha256::digest(text));
                format!(" {hash} {} {INDEX}\n", text.len())
            }
            _ => format!("{line}\n"),
        }
    });
    copy["release"] = lines.collect::<String>().into();
}

/// Does what needs the spool without asking the archives.
#[track_caller]
fn refused_offline(site: &Site, words: &[&str]) {
    let before = site.served();
    for verb in [&["publish"][..], &["merge"], &["explain", "planted"]] {
        site.aptmerge(verb).expect(1, words);
    }
    assert_eq!(site.served(), before);
}

/// A run goes on from the archive, and publishes nothing that was planted.
#[track_caller]
fn healed_by_a_run(site: &Site, words: &[&str]) {
    let before = site.served();
    site.run(&["-v"]).expect(0, words);
    assert_eq!(site.served(), before);
    let said = site.run_without_news(&[]);
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    site.aptmerge(&["explain", "planted"])
        .expect(1, &["no archive has"]);
}

const LOST: &str =
    "warning: suite `bookworm` of archive `main` is fetched anew, since its copy is lost";
const DAMAGED: &str = "spool/main/bookworm.json cannot be understood";

#[test]
fn a_record_cannot_name_another_object() {
    let site = Site::published();
    let mut copy = read_copy(&site);
    forge_index(&site, &mut copy);
    write_copy(&site, &copy);
    let why = "its Release does not list `main/binary-amd64/Packages` as it has it";
    refused_offline(&site, &[DAMAGED, why]);
    healed_by_a_run(&site, &[LOST, why]);
}

#[test]
fn a_record_cannot_name_another_object_of_a_release_that_has_no_sha256() {
    let site = Site::new();
    let mut suite = site.main();
    let mut sections: Vec<String> = vec!["SHA512:".to_owned()];
    for line in suite.body.split("SHA256:\n").nth(1).unwrap().lines() {
        let path = line.split_ascii_whitespace().nth(2).unwrap();
        let Ok(bytes) = fs::read(suite.dir.join(path)) else {
            continue;
        };
        let hash = hex::encode(sha2::Sha512::digest(&bytes));
        sections.push(format!(" {hash} {} {path}", bytes.len()));
    }
    let end = suite.body.find("SHA256:\n").unwrap();
    suite.body = suite.body[..end].to_owned() + &sections.join("\n") + "\n";
    suite.sign();
    site.run(&[]).expect(0, &[]);
    let before = site.served();
    site.run_without_news(&[]);
    let mut copy = read_copy(&site);
    let object = copy["indices"][INDEX]["sha256"].as_str().unwrap();
    let path = format!("site/spool/objects/{}/{object}.zst", &object[..2]);
    let text = zstd::decode_all(fs::File::open(site.path(&path)).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    // As long as the text that was signed.
    let text = text.replacen("Version: 1", "Version: 9", 1);
    copy["indices"][INDEX]["sha256"] = put_object(&site, text.as_bytes()).into();
    write_copy(&site, &copy);
    let why = "the object of `main/binary-amd64/Packages` is not what its Release lists";
    refused_offline(&site, &[DAMAGED, why]);
    site.run(&[]).expect(0, &[LOST, why]);
    assert_eq!(site.served(), before);
}

#[test]
fn a_record_without_a_good_signature_is_as_good_as_none() {
    let site = Site::published();
    let good = read_copy(&site);
    for (signature, why) in [
        ("", "it holds no signature"),
        ("%", "it holds no signature"),
        ("AAAA", "is refused"),
    ] {
        let mut copy = good.clone();
        copy["signature"] = signature.into();
        write_copy(&site, &copy);
        refused_offline(&site, &[DAMAGED, why]);
        healed_by_a_run(&site, &[LOST, why]);
    }
    // Its own signature, over another text.
    let mut copy = good.clone();
    let text = forge_index(&site, &mut copy);
    forge_release(&mut copy, &text);
    write_copy(&site, &copy);
    refused_offline(&site, &[DAMAGED, "BAD signature"]);
    healed_by_a_run(&site, &[LOST, "BAD signature"]);
}

#[test]
fn a_record_that_somebody_else_signed_is_used_for_nothing_new() {
    let site = Site::published();
    let mut copy = read_copy(&site);
    let text = forge_index(&site, &mut copy);
    forge_release(&mut copy, &text);
    let keys = [site.path("keys/overlay.secret.asc")];
    let signer = aptmerge::openpgp::Signer::key_files(&keys).unwrap();
    let release = copy["release"].as_str().unwrap().as_bytes();
    let signed = signer.sign(release, signing_time()).unwrap();
    copy["inline"] = false.into();
    copy["signature"] = BASE64_STANDARD.encode(signed.detached).into();
    write_copy(&site, &copy);
    refused_offline(
        &site,
        &[
            "nothing new is made of the copy",
            "not in the keyring",
            "hint: ",
        ],
    );
    healed_by_a_run(&site, &[]);
}

#[test]
fn a_key_that_leaves_the_keyring_costs_news_and_no_more() {
    let site = Site::published();
    let before = site.served();
    fs::copy(site.path("keys/overlay.gpg"), site.path("keys/main.gpg")).unwrap();
    site.run(&[])
        .expect(3, &["stays at its last good copy", "not in the keyring"]);
    assert_eq!(site.served(), before);
    site.aptmerge(&["publish"]).expect(0, &[]);
    // Nothing is made of it by other rules either.
    site.change_config("priority =", "strategy = \"newest\"\npriority =");
    site.aptmerge(&["publish"])
        .expect(1, &["nothing new is made of the copy"]);
    assert_eq!(site.served(), before);
}

#[test]
fn a_path_in_the_place_of_a_digest_removes_nothing() {
    let site = Site::published();
    let victim = site.path("victim.zst");
    fs::write(&victim, "somebody else's").unwrap();
    let place = site.path("victim").display().to_string();
    let mut copy = read_copy(&site);
    copy["indices"][INDEX]["sha256"] = place.into();
    write_copy(&site, &copy);
    refused_offline(&site, &[DAMAGED, "64 hex digits"]);
    site.news();
    site.run(&[]).expect(0, &[LOST]);
    assert!(victim.exists());
}

/// A directory of somebody else's, full of what looks like ours.
fn foreign(site: &Site) -> PathBuf {
    let name = "0123456789abcdef".repeat(4);
    let dir = site.path("foreign");
    for path in [
        format!("xz/01/{name}"),
        format!("01/{name}.zst"),
        "dists/other/InRelease".to_owned(),
        name.clone(),
        ".aptmerge-tmp-x".to_owned(),
    ] {
        fs::create_dir_all(dir.join(&path).parent().unwrap()).unwrap();
        fs::write(dir.join(&path), "x").unwrap();
    }
    dir
}

fn count(dir: &Path) -> usize {
    walkdir::WalkDir::new(dir).into_iter().count()
}

#[test]
fn nothing_is_removed_through_a_symlink() {
    for place in [
        "site/cache",
        "site/spool/objects",
        "site/merged-production",
        "site/spool",
    ] {
        let site = Site::published();
        let foreign = foreign(&site);
        let before = count(&foreign);
        fs::rename(site.path(place), site.path("aside")).unwrap();
        symlink(&foreign, site.path(place)).unwrap();
        site.news();
        let hint = "mount --bind";
        site.run(&["--rebuild"])
            .expect(1, &[place, "is a symlink", hint]);
        assert_eq!(count(&foreign), before, "{place}");
        fs::remove_file(site.path(place)).unwrap();
        fs::rename(site.path("aside"), site.path(place)).unwrap();
        site.run(&[]).expect(0, &[]);
    }
    // Further down, a symlink is what is removed.
    let by_hash = "dists/daedalus/main/binary-amd64/by-hash";
    for place in [
        format!("site/merged-production/{by_hash}"),
        format!("site/merged-production/{by_hash}/SHA256"),
        "site/merged-production/dists".to_owned(),
        "site/merged-volatile".to_owned(),
        "site/spool/objects/01".to_owned(),
        "site/cache/xz".to_owned(),
        "site/spool/forgotten".to_owned(),
        "site/state/checked".to_owned(),
    ] {
        let site = Site::published();
        let foreign = foreign(&site);
        let before = count(&foreign);
        let place = site.path(&place);
        let _ = fs::remove_dir_all(&place);
        symlink(&foreign, &place).unwrap();
        site.news();
        site.run(&["--rebuild"]);
        assert_eq!(count(&foreign), before, "{}", place.display());
        site.run(&[]).expect(0, &[]);
        assert_eq!(count(&foreign), before, "{}", place.display());
        site.aptmerge(&["verify"]).expect(0, &[]);
    }
}

#[test]
fn what_is_not_of_our_form_stays() {
    let site = Site::published();
    for path in [
        "site/spool/objects/note.zst",
        "site/spool/objects/ab/note",
        "site/cache/note",
    ] {
        let path = site.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    site.news();
    site.run(&["--rebuild"]).expect(0, &[]);
    for path in [
        "site/spool/objects/note.zst",
        "site/spool/objects/ab/note",
        "site/cache/note",
    ] {
        assert!(site.path(path).exists(), "{path}");
    }
}

/// Puts FIFOs in the place of all files of ours below a directory.
fn make_fifos(dir: &Path) -> usize {
    let files = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    let files: Vec<_> = files.filter(|f| f.file_type().is_file()).collect();
    for file in &files {
        fs::remove_file(file.path()).unwrap();
        nix::unistd::mkfifo(file.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    files.len()
}

#[test]
fn a_fifo_holds_nothing_up() {
    if !has("timeout") {
        return;
    }
    for (place, is_whole) in [("site/cache", true), ("site/spool/objects", false)] {
        let site = Site::published();
        assert!(make_fifos(&site.path(place)) > 3, "{place}");
        let call = |arguments: &[&str]| {
            let inner = site.command(arguments);
            let mut command = Command::new("timeout");
            command
                .args(["--signal=KILL", "60"])
                .arg(inner.get_program());
            Said::of(&command.args(inner.get_args()).output().unwrap())
        };
        let said = call(&["explain", "newcomer"]);
        assert!(said.code.is_some(), "{place}");
        let said = call(&["publish", "--rebuild"]);
        assert_eq!(said.code == Some(0), is_whole, "{place}: {}", said.stderr);
        site.news();
        call(&["run", "--rebuild"]).expect(0, &[]);
        call(&["verify"]).expect(0, &[]);
        let text = site.index("dists/daedalus/main/binary-amd64/Packages");
        assert!(text.contains("Package: newcomer\n"), "{place}");
    }
}

/// Writes over what is served of an index, in every form and in place, and lists it so in the Release beside it.
fn forge_served(site: &Site, path: &str, text: &str) {
    let suite = site.path("site/merged-volatile/dists/daedalus");
    let forms = [
        (path.to_owned(), text.as_bytes().to_vec()),
        (format!("{path}.gz"), gz(text.as_bytes())),
        (format!("{path}.xz"), xz(text.as_bytes())),
    ];
    let release = fs::read_to_string(suite.join("Release")).unwrap();
    let lines = release.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let form = forms
            .iter()
            .find(|(form, _)| words.last() == Some(&form.as_str()));
        match (form, words.first().map(|hash| hash.len())) {
            (Some((form, bytes)), Some(64)) => {
                format!(
                    " {} {} {form}\n",
                    hex::encode(Sha256::digest(bytes)),
                    bytes.len()
                )
            }
            // One that is never reached.
            _ if line.starts_with("Date:") => "Date: Sat, 01 Jan 2050 00:00:00 UTC\n".to_owned(),
            _ => format!("{line}\n"),
        }
    });
    let forged: String = lines.collect();
    assert_ne!(forged, release);
    let inline = fs::read_to_string(suite.join("InRelease")).unwrap();
    fs::write(suite.join("InRelease"), inline.replace(&release, &forged)).unwrap();
    fs::write(suite.join("Release"), forged).unwrap();
    for (form, bytes) in &forms[1..] {
        if suite.join(form).exists() {
            fs::write(suite.join(form), bytes).unwrap();
        }
    }
}

#[test]
fn what_no_key_of_ours_has_signed_is_not_signed_anew() {
    const TRANSLATION: &str = "main/i18n/Translation-en";
    let config = |site: &Site, indices: &str, valid_for: &str, bans: &str| {
        let text = site.config();
        let text = text.replace("\"sources\"]", &format!("\"sources\"{indices}]"));
        let publish = format!("[publish]\nvalid-for = \"{valid_for}\"");
        let text = text.replace("[publish]", &publish);
        site.write_config(&format!("{text}\n[bans]\npackages = [{bans}]\n"));
    };
    let planted = "Package: main-only\nDescription-md5: 0123456789abcdef0123456789abcdef\nDescription-en: planted\n\n";
    // An index that is taken over where a suite is only signed anew, and one that is taken over where its packages stay the same.
    for (index, text, valid_for, bans) in [
        (INDEX, stanza("planted"), "8 days", ""),
        (TRANSLATION, planted.to_owned(), "7 days", "\"nowhere\""),
    ] {
        let site = Site::new();
        config(&site, ", \"translations\"", "7 days", "");
        site.run(&[]).expect(0, &[]);
        let published = || site.index(&format!("dists/daedalus/{index}"));
        let before = published();
        forge_served(&site, index, &text);
        assert!(published().contains("planted"));
        site.aptmerge(&["verify"]).expect(1, &[]);
        config(&site, ", \"translations\"", valid_for, bans);
        let words = [
            "nothing of what is published is taken over",
            "BAD signature",
        ];
        site.run(&[]).expect(0, &words);
        assert_eq!(published(), before, "{index}");
        site.aptmerge(&["verify"]).expect(0, &[]);
    }
}

#[test]
fn what_a_record_was_made_to_hold_names_no_file_and_steers_no_terminal() {
    let site = Site::published();
    let root = site.path("site");
    let mut state = state::published(&root);
    let suite = &mut state["suites"]["daedalus"];
    let odd = "odd\n\u{1b}[2Jforged,line\u{9b}\u{202e}";
    suite["report"]["watched"]["../../planted"] = serde_json::json!(["odd"]);
    suite["report"]["banned"] = serde_json::json!([{ "package": odd, "because": [] }]);
    suite["report"]["older"] =
        serde_json::json!([{ "package": odd, "winner": odd, "hidden": odd }]);
    let origin = serde_json::json!({ "version": odd, "archive": odd, "component": "main" });
    suite["difference"]["changes"] = serde_json::json!([{
        "package": odd, "what": "added", "groups": [odd], "before": [], "after": [origin],
    }]);
    let input = serde_json::json!({ "archive": odd, "suite": odd, "date": 0 });
    suite["archives"].as_array_mut().unwrap().push(input);
    state::write_published(&root, &state);
    let said = site.run_without_news(&[]);
    assert!(!site.path("planted.txt").exists());
    let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    let mut shown = said.stdout.clone() + &said.stderr;
    for verb in [&["status"][..], &["status", "--json"]] {
        let said = site.aptmerge(verb);
        said.expect(0, &[]);
        assert!(said.stdout.contains("forged"), "{}", said.stdout);
        shown.push_str(&said.stdout);
    }
    assert!(!shown.contains(steers), "{shown:?}");
    for report in fs::read_dir(site.path("site/log")).unwrap() {
        let path = report.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(steers), "{}: {text:?}", path.display());
        assert!(!text.contains("\nforged"), "{}: {text:?}", path.display());
    }
}

#[test]
fn numbers_of_a_record_that_nobody_counts_to_end_no_run() {
    let site = Site::published();
    let root = site.path("site");
    for pointer in ["/number", "/suites/daedalus/report/packages/all"] {
        let good = state::published(&root);
        let mut state = good.clone();
        *state.pointer_mut(pointer).unwrap() = u64::MAX.into();
        state::write_published(&root, &state);
        site.run(&["--rebuild", "--allow-shrink"]).expect(0, &[]);
        site.aptmerge(&["verify"]).expect(0, &[]);
        state::write_published(&root, &good);
        site.run(&["--rebuild"]).expect(0, &[]);
    }
}
