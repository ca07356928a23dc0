//! Servers that answer oddly for what they have, or do not have, and proxies on the way to them.

use std::sync::Arc;

use super::archive::{Archive, PACKAGES};
use super::catalogue::{Entry, check, odd};
use crate::common::apt::sha256;

/// Begins an entry: whatever path has this part is answered with a status.
fn answers(part: &'static str, status: u16) -> Entry {
    odd(format!("{status} for {part}"), move |archive| {
        archive.fields += "Acquire-By-Hash: yes\n";
        answer(archive, part, status, b"");
    })
}

fn answer(archive: &mut Archive, part: &'static str, status: u16, body: &'static [u8]) {
    archive.behaviour = Some(Arc::new(move |path: &str| {
        path.contains(part).then(|| (status, body.to_vec()))
    }));
}

/// Lists a packed form of Packages that the archive has not got.
fn lists_a_form(archive: &mut Archive) {
    let text = b"not to be had";
    let line = format!(" {} {} {PACKAGES}.xz\n", sha256(text), text.len());
    archive.release = Box::new(move |release| release + &line);
}

#[test]
fn what_is_not_there_may_be_answered_with_any_refusal() {
    let mut entries = Vec::new();
    for status in [403, 404, 410] {
        entries.push(answers("/by-hash/", status).reads(&[]).passes());
        entries.push(
            odd(
                format!("{status} for a form that is listed"),
                move |archive| {
                    lists_a_form(archive);
                    answer(archive, "Packages.xz", status, b"");
                },
            )
            .reads(&[])
            .passes(),
        );
        entries.push(
            answers("main/binary-amd64/", status)
                .apt_refuses(&["Packages"])
                .refuses(&["main/binary-amd64/Packages: the Release lists this file"]),
        );
    }
    entries.push(answers("InRelease", 404).reads(&[]).passes());
    // apt gives up here, though the Release and its signature are there.
    entries.push(answers("InRelease", 403).apt_refuses(&["403"]).passes());
    entries.push(answers("InRelease", 410).apt_refuses(&["410"]).passes());
    entries.push(
        answers("Release", 403)
            .apt_refuses(&["403"])
            .refuses(&["refused with status 403", "object stores answer so"]),
    );
    for status in [400, 401, 500, 503] {
        entries.push(answers("/by-hash/", status).reads(&[]).passes());
    }
    check(entries);
}

#[test]
fn what_stands_in_the_place_of_a_file() {
    let page = b"<html><body>Please log in</body></html>";
    check(vec![
        odd("a page in the place of InRelease", |archive| {
            answer(archive, "InRelease", 200, page);
        })
        .apt_refuses(&["Clearsigned file isn't valid"])
        .refuses(&[
            "it is a page of HTML or XML",
            "a network that wants a log-in first",
        ]),
        odd("a page in the place of by-hash", |archive| {
            archive.fields += "Acquire-By-Hash: yes\n";
            answer(archive, "/by-hash/", 200, page);
        })
        .apt_refuses(&["File has unexpected size"])
        .refuses(&["by-hash", "it is a page of HTML or XML"]),
        odd("an empty Packages", |archive| {
            answer(archive, PACKAGES, 200, b"")
        })
        .apt_refuses(&["Packages"])
        .refuses(&["it has 0 bytes, the Release says"]),
    ]);
}
