//! Files of another kind in the place of those that were asked for: what a network that wants a log-in, or a server that packs and unpacks
//! as it likes, sends instead. The message says which.

use std::fs;

use crate::common::apt::unxz;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, gz, stanza};
use crate::common::web::Mirror;

const PAGE: &[u8] = b"\r\n<!DOCTYPE html>\n<html><body>Please log in</body></html>\n";

/// Runs a site that has a copy of `main` and finds a newer one, some of whose files are answered with others.
fn run_with(part: &'static str, body: Vec<u8>, words: &[&str]) {
    let site = Site::new();
    let root = site.path("archives");
    let mirror = Mirror::of(&root);
    let file = format!("file://{}/main", root.display());
    site.configure(&file, &format!("{}/main", mirror.uri()));
    site.run(&[]).expect(0, &[]);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let text = stanza("newcomer");
    suite.append_stanza("main/binary-amd64/Packages", &text);
    suite.sign();
    mirror.behave(move |path| path.contains(part).then(|| (200, body.clone())));
    site.run(&[]).expect(3, words);
}

#[test]
fn what_stands_in_the_place_of_a_release_is_named() {
    let site = Site::new();
    let file = |name: &str| fs::read(site.main().dir.join(name)).unwrap();
    let log_in = "a network that wants a log-in first";
    for (body, words) in [
        (PAGE.to_vec(), ["it is a page of HTML or XML", log_in]),
        (
            b"<?xml version=\"1.0\"?><Error/>".to_vec(),
            ["it is a page of HTML or XML", log_in],
        ),
        (
            gz(&file("InRelease")),
            ["it is packed by gzip", "packs what it sends"],
        ),
        (
            file("Release"),
            ["it is plain text", "the signature was taken off"],
        ),
        (
            Vec::new(),
            ["it is empty", "the server has lost its content"],
        ),
    ] {
        let words = [&["InRelease: the signature is refused"], &words[..]].concat();
        run_with("main/dists/bookworm/InRelease", body, &words);
    }
}

#[test]
fn what_stands_in_the_place_of_an_index_is_named() {
    let site = Site::new();
    let packed = site.main().dir.join("main/binary-amd64/Packages.xz");
    let text = unxz(&packed);
    let long_page = [PAGE, "<p>".repeat(10_000).as_bytes()].concat();
    let log_in = "a network that wants a log-in first";
    for (body, words) in [
        (
            PAGE.to_vec(),
            ["the Release says", "it is a page of HTML or XML", log_in],
        ),
        (
            long_page,
            ["is larger than the", "it is a page of HTML or XML", log_in],
        ),
        (
            text.into_bytes(),
            [
                "is larger than the",
                "it is plain text",
                "unpacks what it sends",
            ],
        ),
        (
            gz(b"Package: a\n"),
            [
                "the Release says",
                "it is packed by gzip",
                "packs what it sends",
            ],
        ),
    ] {
        run_with("binary-amd64/", body, &words);
    }
}
