//! The transport against servers that misbehave, each in its own way, and against odd files.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aptmerge::fetch::transport::{Conditions, Error, Fetched, Reply, Transport, TransportOptions};
use aptmerge::proxy::Proxies;
use aptmerge::uri::{Uri, UriError};

use crate::common::programs::free_port;

/// What a server does with one request.
enum Act {
    /// Sends this and closes the connection.
    Say(String),
    /// Sends this and waits for another request.
    Keep(String),
    /// Sends the first, then the second again and again, with a pause each time.
    Drip(String, &'static str, Duration),
    /// Closes the connection without having read the request, which makes the kernel send a reset.
    Reset,
    /// Sends nothing until the client has gone.
    Silence,
}

/// A server that plays its acts one by one and remembers what it was asked.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<u32>>,
}

impl Server {
    fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            heard: Arc::default(),
            connections: Arc::default(),
        };
        let heard = Arc::clone(&server.heard);
        let connections = Arc::clone(&server.connections);
        thread::spawn(move || {
            let mut acts = acts.into_iter().peekable();
            while let Some(next) = acts.peek() {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                *connections.lock().unwrap() += 1;
                if matches!(next, Act::Reset) {
                    stream.peek(&mut [0]).unwrap();
                    acts.next();
                    continue;
                }
                while acts.peek().is_some() {
                    let request = read_head(&mut stream);
                    if request.is_empty() {
                        break;
                    }
                    heard.lock().unwrap().push(request);
                    if !acts.next().is_some_and(|act| play(&mut stream, act)) {
                        break;
                    }
                }
            }
        });
        server
    }

    fn uri(&self, path: &str) -> Uri {
        Uri::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// Whether the connection lives on.
fn play(stream: &mut TcpStream, act: Act) -> bool {
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(text.as_bytes());
            false
        }
        Act::Keep(text) => stream.write_all(text.as_bytes()).is_ok(),
        Act::Drip(text, drop, pause) => {
            let _ = stream.write_all(text.as_bytes());
            while stream.write_all(drop.as_bytes()).is_ok() {
                thread::sleep(pause);
            }
            false
        }
        Act::Silence => {
            let _ = stream.read(&mut [0]);
            false
        }
        Act::Reset => false,
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn say(status: &str, headers: &str, body: &str) -> Act {
    Act::Say(format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n{body}"
    ))
}

fn good(body: &str) -> Act {
    say(
        "200 OK",
        &format!("Content-Length: {}\r\n", body.len()),
        body,
    )
}

fn redirect(location: &str) -> Act {
    say(
        "302 Found",
        &format!("Location: {location}\r\nContent-Length: 0\r\n"),
        "",
    )
}

fn quick() -> TransportOptions {
    TransportOptions {
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
        retries: 2,
        backoff: Duration::from_millis(1),
        ..TransportOptions::default()
    }
}

fn once() -> TransportOptions {
    TransportOptions {
        retries: 0,
        ..quick()
    }
}

fn fetch_with(
    options: TransportOptions,
    uri: &Uri,
    conditions: &Conditions,
    limit: u64,
) -> (Result<Fetched, Error>, String) {
    let mut sink = Vec::new();
    let transport = Transport::new(options).unwrap();
    let outcome = transport.fetch(uri, conditions, limit, &mut sink, &|| false);
    (outcome, String::from_utf8(sink).unwrap())
}

fn fetch(options: TransportOptions, uri: &Uri) -> (Result<Fetched, Error>, String) {
    fetch_with(options, uri, &Conditions::default(), 1000)
}

/// The error of a fetch, after a look whether its message names the URI.
fn failure(options: TransportOptions, uri: &Uri) -> Error {
    let error = fetch(options, uri).0.unwrap_err();
    assert!(error.to_string().contains(&uri.to_string()), "{error}");
    error
}

/// Fails if less time than a test server's patience was not enough.
fn assert_soon(begun: Instant) {
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

const STAMP: &str = "Sat, 04 Jul 2026 12:00:00 GMT";

#[test]
fn a_body_arrives_with_its_validators_and_they_are_sent_back() {
    let head = format!("ETag: \"v1\"\r\nLast-Modified: {STAMP}\r\nContent-Length: 5\r\n");
    let server = Server::start(vec![
        say("200 OK", &head, "hello"),
        say("304 Not Modified", "", ""),
    ]);
    let uri = server.uri("/debian").join("dists/a+b/InRelease").unwrap();
    let (fetched, body) = fetch(quick(), &uri);
    let Fetched::Stored { bytes, validators } = fetched.unwrap() else {
        panic!("not stored")
    };
    assert_eq!((bytes, body.as_str()), (5, "hello"));
    let (fetched, _) = fetch_with(quick(), &uri, &validators, 1000);
    assert_eq!(fetched.unwrap(), Fetched::NotModified);

    let heard = server.heard();
    assert!(heard[0].starts_with("GET /debian/dists/a%2Bb/InRelease HTTP/1.1\r\n"));
    let (first, second) = (heard[0].to_lowercase(), heard[1].to_lowercase());
    assert!(first.contains("accept-encoding: identity\r\n"));
    assert!(first.contains("user-agent: aptmerge/"));
    assert!(!first.contains("if-"));
    assert!(second.contains("if-none-match: \"v1\"\r\n"));
    assert!(second.contains(&format!("if-modified-since: {}\r\n", STAMP.to_lowercase())));
}

#[test]
fn a_file_that_may_change_within_its_second_has_no_validators() {
    for (date, is_settled) in [
        ("Sat, 04 Jul 2026 12:00:00 GMT", false),
        ("Sat, 04 Jul 2026 12:00:59 GMT", false),
        ("Sat, 04 Jul 2026 12:01:00 GMT", true),
        ("yesterday", true),
    ] {
        let head = format!("Date: {date}\r\nETag: \"v1\"\r\nLast-Modified: {STAMP}\r\n");
        let server = Server::start(vec![say("200 OK", &head, "hello")]);
        let (fetched, _) = fetch(quick(), &server.uri("/x"));
        let Fetched::Stored { validators, .. } = fetched.unwrap() else {
            panic!("not stored")
        };
        assert_eq!(validators.etag.is_some(), is_settled, "{date}");
        assert_eq!(validators.last_modified.is_some(), is_settled, "{date}");
    }
}

#[test]
fn not_modified_is_no_answer_without_a_copy() {
    let server = Server::start(vec![say("304 Not Modified", "", "")]);
    let error = failure(quick(), &server.uri("/x"));
    assert!(matches!(error, Error::NotModifiedUnasked { .. }), "{error}");

    // A validator that cannot be sent is as good as none.
    let damaged = Conditions {
        etag: Some("a\r\nb".into()),
        last_modified: None,
    };
    let server = Server::start(vec![good("whole")]);
    let (fetched, body) = fetch_with(quick(), &server.uri("/x"), &damaged, 1000);
    assert!(fetched.is_ok(), "{fetched:?}");
    assert_eq!(body, "whole");
}

#[test]
fn what_is_not_there_is_not_an_error_and_not_asked_for_again() {
    for status in ["404 Not Found", "410 Gone"] {
        let server = Server::start(vec![
            say(status, "Content-Length: 4\r\n", "gone"),
            good("late"),
        ]);
        let (fetched, body) = fetch(quick(), &server.uri("/x"));
        assert_eq!(fetched.unwrap(), Fetched::NotFound);
        assert_eq!(body, "");
        assert_eq!(server.heard().len(), 1);
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    for (name, act) in [
        ("500", say("500 Internal Server Error", "", "")),
        (
            "503",
            say("503 Service Unavailable", "Retry-After: 0\r\n", ""),
        ),
        ("429", say("429 Too Many Requests", "", "")),
        ("cut", say("200 OK", "Content-Length: 50\r\n", "cut")),
        (
            "cut chunks",
            say("200 OK", "Transfer-Encoding: chunked\r\n", "3\r\ncut\r\n"),
        ),
        ("reset", Act::Reset),
        ("closed", Act::Say(String::new())),
    ] {
        let server = Server::start(vec![act, good("second")]);
        let (fetched, body) = fetch(quick(), &server.uri("/x"));
        assert!(fetched.is_ok(), "{name}: {fetched:?}");
        // What the first try wrote is gone.
        assert_eq!(body, "second", "{name}");
    }
}

#[test]
fn tries_are_bounded() {
    let acts = (0..10).map(|_| say("500 Internal Server Error", "", ""));
    let server = Server::start(acts.collect());
    let error = failure(quick(), &server.uri("/x"));
    assert!(
        matches!(error, Error::Status { status: 500, .. }),
        "{error}"
    );
    assert_eq!(server.heard().len(), 3);
}

#[test]
fn what_will_not_pass_is_final() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "400 Bad Request",
        "204 No Content",
        "206 Partial Content",
    ] {
        let server = Server::start(vec![say(status, "", ""), good("second")]);
        let error = failure(quick(), &server.uri("/x"));
        assert!(
            matches!(error, Error::Denied { .. } | Error::Status { .. }),
            "{error}"
        );
        assert_eq!(server.heard().len(), 1, "{status}");
    }
    let server = Server::start(vec![
        Act::Say("SSH-2.0-example\r\n\r\n".into()),
        good("second"),
    ]);
    let error = failure(quick(), &server.uri("/x"));
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[test]
fn a_short_body_is_an_error() {
    let cut = || vec![say("200 OK", "Content-Length: 10\r\n", "short")];
    let server = Server::start(cut());
    let error = failure(once(), &server.uri("/x"));
    assert!(
        matches!(
            error,
            Error::Truncated {
                received: 5,
                expected: Some(10),
                ..
            }
        ),
        "{error}"
    );
    let server = Server::start(cut());
    let transport = Transport::new(once()).unwrap();
    let reply = transport.get(&server.uri("/x"), &Conditions::default());
    let Reply::Body(mut body) = reply.unwrap() else {
        panic!("no body")
    };
    assert_eq!(body.length, Some(10));
    let error = body.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::Truncated { .. })));
    assert!(
        body.read(&mut [0; 8]).is_err(),
        "an error must not turn into an end"
    );
}

#[test]
fn what_follows_a_body_does_not_get_into_the_next() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let server = Server::start(vec![
        Act::Keep(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood{evil}"
        )),
        good("next"),
    ]);
    let transport = Transport::new(quick()).unwrap();
    for expected in ["good", "next"] {
        let mut sink = Vec::new();
        transport
            .fetch(
                &server.uri("/x"),
                &Conditions::default(),
                1000,
                &mut sink,
                &|| false,
            )
            .unwrap();
        assert_eq!(String::from_utf8(sink).unwrap(), expected);
    }
    assert_eq!(*server.connections.lock().unwrap(), 2);
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    for headers in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: -4\r\n",
        "Content-Length: four\r\n",
    ] {
        let server = Server::start(vec![say("200 OK", headers, "abcde")]);
        let error = failure(once(), &server.uri("/x"));
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
}

#[test]
fn a_large_body_is_refused_announced_or_not() {
    let head = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    let announced = Act::Drip(head("Content-Length: 101\r\n"), "x", Duration::from_secs(1));
    let endless = Act::Drip(head(""), "0123456789", Duration::ZERO);
    for act in [announced, endless] {
        let server = Server::start(vec![act]);
        let begun = Instant::now();
        let (outcome, body) = fetch_with(quick(), &server.uri("/x"), &Conditions::default(), 100);
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { limit: 100, .. }),
            "{error}"
        );
        assert!(body.len() <= 100);
        assert_soon(begun);
    }
    let server = Server::start(vec![good(&"x".repeat(100))]);
    let (outcome, _) = fetch_with(quick(), &server.uri("/x"), &Conditions::default(), 100);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_slow_drip_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n";
    let server = Server::start(vec![Act::Drip(head.into(), "x", Duration::from_millis(20))]);
    let options = TransportOptions {
        minimum_speed: 1000,
        minimum_speed_window: Duration::from_millis(300),
        ..once()
    };
    let begun = Instant::now();
    let error = failure(options, &server.uri("/x"));
    assert!(
        matches!(error, Error::TooSlow { minimum: 1000, .. }),
        "{error}"
    );
    assert_soon(begun);
}

#[test]
fn a_drip_that_never_becomes_a_byte_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    let server = Server::start(vec![Act::Drip(
        head.into(),
        "x: y\r\n",
        Duration::from_millis(20),
    )]);
    let options = TransportOptions {
        stall_timeout: Duration::from_millis(300),
        minimum_speed: 10_000,
        minimum_speed_window: Duration::from_millis(300),
        ..once()
    };
    let begun = Instant::now();
    let error = failure(options, &server.uri("/x"));
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_soon(begun);
}

#[test]
fn a_header_without_end_is_cut_off() {
    let begin = || "HTTP/1.1 200 OK\r\n".to_owned();
    for act in [
        Act::Drip(begin(), "x: y\r\n", Duration::from_millis(20)),
        Act::Drip(begin(), "x: y\r\n", Duration::ZERO),
        Act::Silence,
    ] {
        let server = Server::start(vec![act]);
        let options = TransportOptions {
            response_timeout: Duration::from_millis(300),
            ..once()
        };
        let begun = Instant::now();
        let error = failure(options, &server.uri("/x"));
        assert!(
            matches!(error, Error::Timeout { .. } | Error::Protocol { .. }),
            "{error:?}"
        );
        assert_soon(begun);
    }
}

#[test]
fn a_body_that_stalls_is_cut_off() {
    let short = Duration::from_millis(200);
    let stall = TransportOptions {
        stall_timeout: short,
        ..once()
    };
    let total = TransportOptions {
        total_timeout: Some(short),
        ..once()
    };
    for options in [stall, total] {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n";
        let server = Server::start(vec![Act::Drip(head.into(), "x", Duration::from_secs(6))]);
        let begun = Instant::now();
        let error = failure(options, &server.uri("/x"));
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        assert_soon(begun);
    }
}

#[test]
fn redirects_are_followed_so_far() {
    let server = Server::start(vec![
        redirect("/other"),
        redirect("third?key=1"),
        good("there"),
    ]);
    let (fetched, body) = fetch(quick(), &server.uri("/a/b"));
    assert!(fetched.is_ok(), "{fetched:?}");
    assert_eq!(body, "there");
    let heard = server.heard();
    assert!(heard[1].starts_with("GET /other "));
    assert!(heard[2].starts_with("GET /third?key=1 "));

    let server = Server::start((0..10).map(|_| redirect("/x")).collect());
    let error = failure(quick(), &server.uri("/x"));
    assert!(
        matches!(error, Error::RedirectLoop { limit: 5, .. }),
        "{error}"
    );
    assert_eq!(server.heard().len(), 6);
}

#[test]
fn redirects_keep_their_connection() {
    let moved = "HTTP/1.1 301 Moved\r\nLocation: /there\r\nContent-Length: 5\r\n\r\nmoved";
    let server = Server::start(vec![Act::Keep(moved.into()), good("there")]);
    assert_eq!(fetch(quick(), &server.uri("/x")).1, "there");
    assert_eq!(*server.connections.lock().unwrap(), 1);
}

#[test]
fn redirects_do_not_leave_the_network() {
    for location in ["file:///etc/hostname", "file:/etc/hostname"] {
        let server = Server::start(vec![redirect(location), good("no")]);
        let error = failure(quick(), &server.uri("/x"));
        assert!(
            matches!(
                error,
                Error::Redirect {
                    source: UriError::Local,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(location));
    }
    let server = Server::start(vec![redirect("ftp://mirror.example/x")]);
    let error = failure(quick(), &server.uri("/x"));
    assert!(
        matches!(
            error,
            Error::Redirect {
                source: UriError::Scheme { .. },
                ..
            }
        ),
        "{error}"
    );
    let server = Server::start(vec![say("302 Found", "", "")]);
    let error = failure(quick(), &server.uri("/x"));
    assert!(matches!(error, Error::RedirectNowhere { .. }), "{error}");
}

#[test]
fn credentials_are_sent_but_not_to_others_and_not_shown() {
    let other = Server::start(vec![say("401 Unauthorized", "", "")]);
    let elsewhere = format!("http://127.0.0.1:{}/y", other.port);
    let server = Server::start(vec![redirect("/y"), redirect(&elsewhere)]);
    let uri = Uri::parse(&format!("http://user:pa%3Ass@127.0.0.1:{}/x", server.port)).unwrap();
    let error = fetch(quick(), &uri).0.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Denied {
                status: 401,
                credentials: false,
                ..
            }
        ),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("pa%3Ass"));
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    for request in heard {
        // "user:pa:ss" (RFC 7617 section 2).
        assert!(
            request.contains(": Basic dXNlcjpwYTpzcw==\r\n"),
            "{request}"
        );
    }
    assert!(!other.heard()[0].to_lowercase().contains("authorization"));
}

#[test]
fn retry_after_is_waited_for_within_bounds() {
    let busy = |after: &str| {
        let headers = format!("Retry-After: {after}\r\n");
        say("503 Service Unavailable", &headers, "")
    };
    let server = Server::start(vec![busy("1"), good("second")]);
    let begun = Instant::now();
    assert_eq!(fetch(quick(), &server.uri("/x")).1, "second");
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let server = Server::start(vec![busy("3600"), good("second")]);
    let begun = Instant::now();
    let error = failure(quick(), &server.uri("/x"));
    assert!(
        matches!(error, Error::Status { status: 503, .. }),
        "{error}"
    );
    assert_soon(begun);
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn a_fetch_can_be_cancelled_at_any_point() {
    let patient = TransportOptions {
        backoff: Duration::from_secs(50),
        ..quick()
    };
    let head = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    let endless = Act::Drip(head, "0123456789", Duration::from_millis(5));
    let broken = say("500 Internal Server Error", "", "");
    // Before the first try; during the body; during a pause.
    for (act, looks) in [(good("x"), 0), (endless, 5), (broken, 4)] {
        let server = Server::start(vec![act]);
        let transport = Transport::new(patient.clone()).unwrap();
        let left = Cell::new(looks);
        let cancelled = || left.replace(left.get() - 1) <= 0;
        let mut sink = std::io::sink();
        let begun = Instant::now();
        let error = transport
            .fetch(
                &server.uri("/x"),
                &Conditions::default(),
                1 << 30,
                &mut sink,
                &cancelled,
            )
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
        assert_soon(begun);
    }
}

#[test]
fn an_unreachable_server_is_an_error() {
    let uri = Uri::parse(&format!("http://127.0.0.1:{}/x", free_port())).unwrap();
    let error = failure(quick(), &uri);
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn compressed_bodies_stay_compressed() {
    let headers = "Content-Encoding: x-gzip\r\nContent-Length: 3\r\n";
    let server = Server::start(vec![say("200 OK", headers, "raw")]);
    assert_eq!(fetch(quick(), &server.uri("/Packages.gz")).1, "raw");
}

/// Returns the options of a transport whose requests all go through one proxy.
fn through(port: u16) -> TransportOptions {
    let proxy = format!("http://user:pa%3Ass@127.0.0.1:{port}");
    TransportOptions {
        proxies: Proxies {
            general: Some(proxy.parse().unwrap()),
            ..Proxies::default()
        },
        ..once()
    }
}

#[test]
fn a_proxy_is_asked_for_the_whole_uri_and_its_password_is_not_shown() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    let server = Server::start(vec![
        Act::Keep(format!("{answer}one")),
        good("two"),
        redirect("http://other.example:8080/y?key=1"),
        good("three"),
    ]);
    let options = through(server.port);
    assert!(!format!("{options:?} {:?}", Transport::new(options.clone())).contains("pa%3Ass"));
    let transport = Transport::new(options).unwrap();
    for (uri, expected) in [
        ("http://a:b@mirror.example/x", "one"),
        ("http://a:b@mirror.example/%7Ex", "two"),
        ("http://a:b@mirror.example/", "three"),
    ] {
        let mut sink = Vec::new();
        let uri = Uri::parse(uri).unwrap();
        let fetched = transport.fetch(&uri, &Conditions::default(), 9, &mut sink, &|| false);
        assert!(fetched.is_ok(), "{fetched:?}");
        assert_eq!(String::from_utf8(sink).unwrap(), expected);
    }
    let heard = server.heard();
    let asked = [
        (
            "GET http://mirror.example/x HTTP/1.1\r\n",
            "mirror.example",
            true,
        ),
        (
            "GET http://mirror.example/%7Ex HTTP/1.1\r\n",
            "mirror.example",
            true,
        ),
        (
            "GET http://mirror.example/ HTTP/1.1\r\n",
            "mirror.example",
            true,
        ),
        (
            "GET http://other.example:8080/y?key=1 HTTP/1.1\r\n",
            "other.example:8080",
            false,
        ),
    ];
    for (request, (line, host, has_password)) in heard.iter().zip(asked) {
        assert!(request.starts_with(line), "{request}");
        assert!(
            request
                .to_lowercase()
                .contains(&format!("\r\nhost: {host}\r\n")),
            "{request}"
        );
        // "user:pa:ss" and "a:b" (RFC 7617 section 2).
        let head = request.to_lowercase();
        assert!(
            head.contains("\r\nproxy-authorization: basic dxnlcjpwytpzcw==\r\n"),
            "{request}"
        );
        assert_eq!(
            head.contains("\r\nauthorization: basic ytpi"),
            has_password,
            "{request}"
        );
    }
    assert_eq!(heard.len(), 4);
    // The first two requests share a connection.
    assert_eq!(*server.connections.lock().unwrap(), 3);
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    let refusal = |status: &str| vec![say(status, "Content-Length: 0\r\n", "")];
    for (uri, status, words) in [
        (
            "http://mirror.example/x",
            "407 Want Credentials",
            "refused with status 407",
        ),
        (
            "http://mirror.example/x",
            "502 Bad Gateway",
            "answered with status 502",
        ),
        (
            "https://mirror.example/x",
            "407 Want Credentials",
            "refused a tunnel with status 407",
        ),
        (
            "https://mirror.example/x",
            "403 Forbidden",
            "refused a tunnel with status 403",
        ),
    ] {
        let server = Server::start(refusal(status));
        let error = failure(through(server.port), &Uri::parse(uri).unwrap()).to_string();
        let by = format!("through the proxy http://127.0.0.1:{}", server.port);
        assert!(error.contains(words) && error.ends_with(&by), "{error}");
    }
    let error = failure(
        through(free_port()),
        &Uri::parse("http://mirror.example/x").unwrap(),
    );
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(
        error.to_string().contains("through the proxy http://127"),
        "{error}"
    );
}

#[test]
fn a_server_without_tls_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::sleep(Duration::from_millis(300));
        1 + u32::from(listener.accept().is_ok())
    });
    let uri = Uri::parse(&format!("https://127.0.0.1:{port}/x")).unwrap();
    let error = failure(quick(), &uri);
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert_eq!(asked.join().unwrap(), 1);
}

#[test]
fn one_transport_serves_many_threads() {
    let server = Server::start((0..16).map(|_| good("shared")).collect());
    let transport = Transport::new(quick()).unwrap();
    let work = || {
        for _ in 0..4 {
            let mut sink = Vec::new();
            transport
                .fetch(
                    &server.uri("/x"),
                    &Conditions::default(),
                    1000,
                    &mut sink,
                    &|| false,
                )
                .unwrap();
            assert_eq!(sink, b"shared");
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
}

fn file_uri(path: &Path) -> Uri {
    let relative = path.to_str().unwrap().trim_start_matches('/');
    Uri::parse("file:///").unwrap().join(relative).unwrap()
}

#[test]
fn files_are_fetched_and_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b+c%20");
    std::fs::write(&path, "first").unwrap();
    let uri = file_uri(&path);
    let (fetched, body) = fetch(quick(), &uri);
    let Fetched::Stored {
        bytes: 5,
        validators,
    } = fetched.unwrap()
    else {
        panic!("not stored")
    };
    assert_eq!(body, "first");
    let again = |limit| fetch_with(quick(), &uri, &validators, limit).0;
    assert_eq!(again(1000).unwrap(), Fetched::NotModified);

    // Same size, same time, but another file.
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let fresh = dir.path().join("fresh");
    std::fs::write(&fresh, "other").unwrap();
    let file = std::fs::File::options().write(true).open(&fresh).unwrap();
    file.set_modified(modified).unwrap();
    std::fs::rename(&fresh, &path).unwrap();
    assert!(matches!(again(1000).unwrap(), Fetched::Stored { .. }));
    assert!(matches!(again(4), Err(Error::TooLarge { limit: 4, .. })));

    std::fs::remove_file(&path).unwrap();
    assert_eq!(again(1000).unwrap(), Fetched::NotFound);
    std::fs::write(dir.path().join("plain"), "").unwrap();
    let below = file_uri(&dir.path().join("plain/below"));
    assert_eq!(fetch(quick(), &below).0.unwrap(), Fetched::NotFound);
}

#[test]
fn only_regular_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    for (path, expected) in [
        (dir.path(), "a directory"),
        (&fifo, "a FIFO"),
        (&link, "a FIFO"),
        (&socket, "a socket"),
        (Path::new("/dev/zero"), "a device"),
    ] {
        let error = failure(quick(), &file_uri(path));
        assert!(
            matches!(error, Error::NotRegular { kind, .. } if kind == expected),
            "{error}"
        );
    }
    let target = dir.path().join("target");
    std::fs::write(&target, "through a link").unwrap();
    let good = dir.path().join("good");
    std::os::unix::fs::symlink(&target, &good).unwrap();
    assert_eq!(fetch(quick(), &file_uri(&good)).1, "through a link");
}
