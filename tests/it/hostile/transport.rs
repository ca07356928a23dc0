//! What a server, or somebody on the way to it, may answer with.

use std::time::Duration;

use super::catalogue::{Entry, check, entry};
use super::wire::main_over;
use crate::common::upstream::{NEWER, stanza};
use crate::common::web::{Act, answer};

/// The InRelease of main is answered so; everything else well.
fn for_release(
    name: &'static str,
    words: &[&str],
    act: impl Fn() -> Act + Send + Sync + Clone + 'static,
) -> Entry {
    with(name, "InRelease", words, act)
}

/// The indices of main are answered so.
fn for_indices(
    name: &'static str,
    words: &[&str],
    act: impl Fn() -> Act + Send + Sync + Clone + 'static,
) -> Entry {
    with(name, "binary-amd64/", words, act)
}

fn with(
    name: &'static str,
    part: &'static str,
    words: &[&str],
    act: impl Fn() -> Act + Send + Sync + Clone + 'static,
) -> Entry {
    let words: Vec<_> = [&["http://127.0.0.1:", part], words].concat();
    entry(name, &words, move |site| {
        let mut suite = site.main();
        suite.set("Date", NEWER);
        suite.append_stanza(super::catalogue::PACKAGES, &stanza("newcomer"));
        suite.sign();
        let act = act.clone();
        main_over(site, move |path| match path.contains(part) {
            true => act(),
            false => Act::Well,
        });
    })
}

fn redirect(to: &'static str) -> impl Fn() -> Act + Send + Sync + Clone {
    move || Act::Say(answer("302 Found", &[&format!("Location: {to}")], b""))
}

#[test]
fn redirects() {
    check(&[
        for_release(
            "a loop",
            &["redirected more than"],
            redirect("/main/dists/bookworm/InRelease"),
        ),
        for_release("to where 60 kB lead", &["redirect"], || {
            let to = format!("Location: file:///{}", "x".repeat(60_000));
            Act::Say(answer("302 Found", &[&to], b""))
        }),
        for_release(
            "to a file",
            &["file:", "is not followed"],
            redirect("file:///etc/passwd"),
        ),
        for_release(
            "to another scheme",
            &["ftp:", "is not followed"],
            redirect("ftp://mirror.example/x"),
        ),
        for_release("to nowhere", &["redirected to nowhere"], || {
            Act::Say(answer("301 Moved", &[], b""))
        }),
        for_release(
            "to what is no URI",
            &["is not followed"],
            redirect("http://[::1/x"),
        ),
        for_indices(
            "of an index to a file",
            &["file:", "is not followed"],
            redirect("file:///etc/passwd"),
        ),
    ]);
}

#[test]
fn answers() {
    check(&[
        for_release("cut short", &["ended after"], || {
            Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n-----BEGIN".to_vec())
        }),
        for_release("two lengths", &["InRelease"], || {
            Act::Say(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_vec(),
            )
        }),
        for_release("no HTTP", &["InRelease"], || {
            Act::Say(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec())
        }),
        for_release("nothing", &["InRelease"], || Act::Say(Vec::new())),
        for_release("a reset", &["InRelease"], || Act::Reset),
        for_release("304 without a copy", &["said not to be modified"], || {
            Act::Say(answer("304 Not Modified", &[], b""))
        }),
        for_release("206 to a whole request", &["status 206"], || {
            Act::Say(answer(
                "206 Partial Content",
                &["Content-Range: bytes 0-3/9"],
                b"abcd",
            ))
        }),
        for_release(
            "an error page with 200",
            &["the signature is refused"],
            || {
                Act::Say(answer(
                    "200 OK",
                    &["Content-Type: text/html"],
                    b"<html>Please log in</html>",
                ))
            },
        ),
        for_release("a login page by status", &["status 511"], || {
            Act::Say(answer(
                "511 Network Authentication Required",
                &[],
                b"<html></html>",
            ))
        }),
        for_release(
            "10 GB announced",
            &["larger than the 10000000 bytes"],
            || {
                Act::Say(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n-----BEGIN".to_vec(),
                )
            },
        ),
        for_indices(
            "an index by a page of HTML",
            &["binary-amd64/", "the Release says"],
            || Act::Say(answer("200 OK", &[], b"<html></html>")),
        ),
        for_indices("an index that is refused", &["status 403"], || {
            Act::Say(answer("403 Forbidden", &[], b""))
        }),
    ]);
}

#[test]
fn endless() {
    let ok = || "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    check(&[
        for_release(
            "a Release without end",
            &["larger than the 10000000 bytes"],
            move || Act::Drip(ok(), vec![b'x'; 1 << 16], Duration::ZERO),
        ),
        for_indices("an index without end", &["is larger than the"], move || {
            Act::Drip(ok(), vec![0; 1 << 16], Duration::ZERO)
        }),
        for_release("headers without end", &["InRelease"], || {
            Act::Drip(
                "HTTP/1.1 200 OK\r\n".into(),
                b"X-Y: z\r\n".repeat(1000),
                Duration::ZERO,
            )
        }),
        for_release("one header without end", &["InRelease"], || {
            Act::Drip(
                "HTTP/1.1 200 OK\r\nX: ".into(),
                vec![b'y'; 1 << 16],
                Duration::ZERO,
            )
        }),
        for_release("a body that stalls", &["timed out"], || {
            Act::Drip(
                "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n---".into(),
                b"x".to_vec(),
                Duration::from_secs(20),
            )
        }),
        for_release("a header that stalls", &["timed out"], || {
            Act::Drip(
                "HTTP/1.1 200 OK\r\n".into(),
                b"X: y\r\n".to_vec(),
                Duration::from_secs(20),
            )
        }),
        for_release("chunks that lie", &["InRelease"], || {
            Act::Say(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"
                    .to_vec(),
            )
        }),
    ]);
}

/// Bytes come all the time, and fast enough for the minimum speed: what bounds them is how long a suite may take.
#[test]
fn what_would_take_for_ever() {
    type Make = fn(&'static str, &[&str], fn() -> Act) -> Entry;
    let slowly = |entry: Make, name, file: &str| {
        let words = [file, "given up after 1 second", "fetch.suite-timeout"];
        let drip = || {
            Act::Drip(
                "HTTP/1.1 200 OK\r\n\r\n".into(),
                b"x".repeat(100),
                Duration::from_millis(50),
            )
        };
        entry(name, &words, drip).on(|site| {
            let path = site.path("aptmerge.toml");
            let config = std::fs::read_to_string(&path).unwrap();
            let bound = "restarts = 0\nsuite-timeout = \"1 second\"";
            site.write_config(&config.replace("restarts = 0", bound));
        })
    };
    check(&[
        slowly(for_release, "a Release that drips", "InRelease"),
        slowly(for_indices, "an index that drips", "binary-amd64/"),
    ]);
}
