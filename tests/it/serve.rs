//! The HTTP server as a client meets it: raw bytes over TCP, so that nothing on this side mends a path or a header.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use aptmerge::serve::{Access, Error, Hooks, Limits, Pool, PoolTarget, Site, Stop, serve};

use crate::common::programs::{free_port, is_alone};

/// 2001-09-09T01:46:40Z
const MODIFIED_SECONDS: u64 = 1_000_000_000;
const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const IN_RELEASE: &str = "0123456789";

struct Server {
    place: tempfile::TempDir,
    address: SocketAddr,
    accesses: Arc<Mutex<Vec<Access>>>,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Server {
    fn start() -> Server {
        Server::with(Limits::default())
    }

    fn with(limits: Limits) -> Server {
        Server::until(Stop::new(), limits)
    }

    fn until(stop: Stop, limits: Limits) -> Server {
        let place = tempfile::tempdir().unwrap();
        make_place(place.path());
        let site = Site {
            link: place.path().join("merged"),
            prefix: "merged".to_owned(),
            pools: vec![
                Pool {
                    name: "DEBIAN".to_owned(),
                    target: PoolTarget::Redirect("https://mirror.example/debian/".to_owned()),
                },
                Pool {
                    name: "LOCAL".to_owned(),
                    target: PoolTarget::Directory(place.path().join("archive")),
                },
                Pool {
                    name: "GONE".to_owned(),
                    target: PoolTarget::Directory(place.path().join("gone")),
                },
            ],
        };
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = listener.local_addr().unwrap();
        let accesses = Arc::new(Mutex::new(Vec::new()));
        let log = accesses.clone();
        let hooks = Hooks {
            on_request: Some(Arc::new(move |access: &Access| {
                log.lock().unwrap().push(access.clone());
            })),
            on_error: None,
        };
        let handle = stop.clone();
        let thread = thread::spawn(move || serve(site, listener, limits, hooks, &handle));
        Server {
            place,
            address,
            accesses,
            stop,
            thread: Some(thread),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Client(BufReader::new(stream))
    }

    /// One request on a connection of its own, with more header lines.
    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Reply {
        let mut client = self.connect();
        client.send(method, path, headers);
        client.reply(method == "HEAD")
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    fn end(&mut self) -> Result<(), Error> {
        self.stop.stop();
        match self.thread.take() {
            Some(thread) => thread.join().unwrap(),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.end();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// A tree behind a link, with everything in it that could lead out; a second tree; an archive; and something secret.
fn make_place(place: &Path) {
    for (tree, text) in [("production", IN_RELEASE), ("volatile", "9876543210")] {
        let suite = place.join(tree).join("dists/daedalus");
        fs::create_dir_all(suite.join("main/binary-amd64")).unwrap();
        write(&suite.join("InRelease"), text.as_bytes());
        write(&suite.join("Release"), b"Components: main contrib\n");
        write(
            &suite.join("main/binary-amd64/Packages.gz"),
            b"\x1f\x8bnot really",
        );
        symlink("daedalus", place.join(tree).join("dists/stable")).unwrap();
    }
    symlink("production", place.join("merged")).unwrap();
    let tree = place.join("production");
    write(&place.join("secret"), b"secret");
    write(&place.join("secrets/secret"), b"secret");
    symlink(place.join("secret"), tree.join("dists/absolute")).unwrap();
    symlink("../../secret", tree.join("dists/relative")).unwrap();
    symlink("../../secrets", tree.join("dists/out")).unwrap();
    symlink("/", tree.join("dists/root")).unwrap();
    symlink("/proc/self/root", tree.join("dists/magic")).unwrap();
    nix::unistd::mkfifo(&tree.join("dists/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    write(&tree.join("dists/.new"), b"secret");
    symlink(".new", tree.join("dists/new")).unwrap();
    fs::create_dir(tree.join("pool")).unwrap();
    symlink(place.join("secrets"), tree.join("pool/SECRET")).unwrap();
    write(&tree.join("pool/LOCAL/main/x.deb"), b"secret");
    write(&tree.join("pool/y.deb"), b"secret");
    symlink("../pool", tree.join("dists/pool")).unwrap();
    let archive = place.join("archive");
    write(&archive.join("pool/main/x.deb"), b"a package");
    write(&archive.join("pool/main/x+y~1.deb"), b"an odd package");
    write(&archive.join("flat.deb"), b"a flat package");
    write(&archive.join("unnamed.deb"), b"secret");
    // Of what lies outside of the archive's pool, the tree has links to what a stanza names.
    fs::create_dir(tree.join("pool/LOCAL/_")).unwrap();
    symlink(archive.join("flat.deb"), tree.join("pool/LOCAL/_/flat.deb")).unwrap();
    write(&archive.join(".htpasswd"), b"secret");
    symlink("../../../secret", archive.join("pool/main/out.deb")).unwrap();
    symlink("x.deb", archive.join("pool/main/alias.deb")).unwrap();
}

fn write(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED_SECONDS);
    file.set_modified(modified).unwrap();
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, method: &str, path: &str, headers: &[&str]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: apt.example\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.write(request.as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn reply(&mut self, is_head: bool) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).unwrap(),
                0,
                "closed after {lines:?}"
            );
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply {
            status,
            headers: lines.split_off(1),
            body: Vec::new(),
        };
        if !is_head && status != 304 {
            let length = reply.header("content-length").unwrap().parse().unwrap();
            reply.body.resize(length, 0);
            self.0.read_exact(&mut reply.body).unwrap();
        }
        reply
    }

    /// Whether the server closes the connection (within the read timeout) without sending anything more.
    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0))
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(found.1.trim())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[test]
fn files_of_the_tree_are_served_under_both_names() {
    let server = Server::start();
    for path in [
        "/dists/daedalus/InRelease",
        "/merged/dists/daedalus/InRelease",
        "/merged/dists/stable/InRelease",
    ] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text()), (200, IN_RELEASE), "{path}");
        assert_eq!(reply.header("last-modified"), Some(DATE));
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    }
    let reply = server.ask("HEAD", "/dists/daedalus/InRelease", &[]);
    assert_eq!(
        (reply.status, reply.header("content-length")),
        (200, Some("10"))
    );
    assert_eq!(
        server.get("/dists/daedalus/InRelease?x=/../y").text(),
        IN_RELEASE
    );
    assert_eq!(
        server
            .get("http://apt.example/dists/daedalus/InRelease")
            .text(),
        IN_RELEASE
    );
    assert_eq!(server.get("/dists/nowhere/InRelease").status, 404);
}

#[test]
fn compressed_files_come_as_they_are() {
    let server = Server::start();
    let path = "/dists/daedalus/main/binary-amd64/Packages.gz";
    let reply = server.ask("GET", path, &["Accept-Encoding: gzip"]);
    assert_eq!(reply.body, b"\x1f\x8bnot really");
    assert_eq!(reply.header("content-type"), Some("application/gzip"));
    assert_eq!(reply.header("content-encoding"), None);
}

#[test]
fn conditions_and_ranges() {
    let server = Server::start();
    let ask = |headers: &[&str]| server.ask("GET", "/dists/daedalus/InRelease", headers);
    let since = format!("If-Modified-Since: {DATE}");
    let reply = ask(&[&since]);
    assert_eq!(reply.status, 304);
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.header("last-modified"), Some(DATE));
    let etag = reply.header("etag").unwrap().to_owned();
    assert_eq!(ask(&[&format!("If-None-Match: {etag}")]).status, 304);
    assert_eq!(
        ask(&["If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"]).status,
        200
    );

    let reply = ask(&["Range: bytes=4-"]);
    assert_eq!((reply.status, reply.text()), (206, "456789"));
    assert_eq!(reply.header("content-range"), Some("bytes 4-9/10"));
    assert_eq!(ask(&["Range: bytes=2-3"]).text(), "23");
    assert_eq!(ask(&["Range: bytes=-2"]).text(), "89");
    let reply = ask(&["Range: bytes=10-"]);
    assert_eq!(
        (reply.status, reply.header("content-range")),
        (416, Some("bytes */10"))
    );
    let held = ask(&["Range: bytes=4-", &format!("If-Range: {DATE}")]);
    assert_eq!(held.status, 206);
    let held = ask(&["Range: bytes=4-", "If-Range: Sun, 09 Sep 2001 01:46:39 GMT"]);
    assert_eq!((held.status, held.text()), (200, IN_RELEASE));
    let local = server.ask("GET", "/pool/LOCAL/main/x.deb", &["Range: bytes=2-"]);
    assert_eq!((local.status, local.text()), (206, "package"));
    assert_eq!(
        server
            .ask("GET", "/pool/LOCAL/main/x.deb", &[&since])
            .status,
        304
    );
}

#[test]
fn nothing_outside_is_answered() {
    let server = Server::start();
    let escapes = [
        "/../secret",
        "/dists/../../secret",
        "/merged/../secret",
        "/merged/dists/../../../secret",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/dists/%2e%2e/%2e%2e/secret",
        "/dists/..%2f..%2fsecret",
        "/..%2fsecret",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/dists\\..\\..\\secret",
        "/dists/..%5c..%5csecret",
        "/dists/daedalus/InRelease%00.gz",
        "/%00",
        "/%c0%ae%c0%ae/secret",
        "/%252e%252e/secret",
        "/%",
        "/%g0",
        "/dists/absolute",
        "/dists/relative",
        "/dists/out/secret",
        "/dists/root/etc/passwd",
        "/dists/root/",
        "/dists/magic/etc/passwd",
        "/dists/fifo",
        "/dists/.new",
        "/dists/new",
        "/dists/out/",
        "/pool/SECRET/secret",
        "/merged/pool/SECRET/secret",
        "/%70ool/SECRET/secret",
        "/pool/y.deb",
        "/dists/pool/y.deb",
        "/./pool/y.deb",
        "//pool//y.deb",
        "/pool/",
        "/pool/LOCAL/../../secret",
        "/pool/LOCAL/_/../secret",
        "/pool/LOCAL/_/%2e%2e/secret",
        "/pool/LOCAL/..%2f..%2fsecret",
        "/pool/LOCAL/main/out.deb",
        "/pool/LOCAL/_/.htpasswd",
        "/pool/LOCAL/_/unnamed.deb",
        "/pool/LOCAL/_//etc/passwd",
        "/pool/LOCAL/main/",
        "/pool/LOCAL/_/",
        "/pool/LOCAL/",
        "/pool/LOCAL",
        "/pool/NOBODY/main/x.deb",
        "/pool/debian/main/x.deb",
        "/pool/../dists/daedalus/InRelease",
    ];
    for path in escapes {
        let reply = server.get(path);
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        let body = String::from_utf8_lossy(&reply.body);
        assert!(
            !body.contains("secret") && !body.contains("root:"),
            "{path}: {body}"
        );
    }
}

#[test]
fn packages_are_found_where_they_came_from() {
    let server = Server::start();
    for (path, to) in [
        (
            "/pool/DEBIAN/main/a/apt_1_amd64.deb",
            "pool/main/a/apt_1_amd64.deb",
        ),
        (
            "/merged/pool/DEBIAN/main/x%2by~1.deb",
            "pool/main/x%2by~1.deb",
        ),
        ("/pool/DEBIAN/_/flat.deb", "flat.deb"),
        ("/pool/DEBIAN/_//elsewhere.example/x", "elsewhere.example/x"),
        ("/pool/DEBIAN/main/x.deb?to=elsewhere", "pool/main/x.deb"),
        (
            "/pool/DEBIAN/@elsewhere.example/",
            "pool/@elsewhere.example/",
        ),
    ] {
        let reply = server.get(path);
        let location = format!("https://mirror.example/debian/{to}");
        assert_eq!(reply.status, 302, "{path}");
        assert_eq!(reply.header("location"), Some(location.as_str()), "{path}");
        assert_eq!(server.ask("HEAD", path, &[]).status, 302, "{path}");
    }
    for path in [
        "/pool/DEBIAN/../x",
        "/pool/DEBIAN/_/../../x",
        "/pool/DEBIAN/%252e%252e/x",
        "/pool/DEBIAN/%2e%2e/%2e%2e/x",
        "/pool/DEBIAN/..%2fx",
        "/pool/DEBIAN/a%0d%0aSet-Cookie:%20x",
        "/pool/DEBIAN/a%0aX",
        "/pool/DEBIAN/a\\..\\b",
        "/pool/DEBIAN/",
        "/pool/DEBIAN/_/",
    ] {
        let reply = server.get(path);
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        assert_eq!(reply.header("location"), None, "{path}");
    }
    for (path, text) in [
        ("/pool/LOCAL/main/x.deb", "a package"),
        ("/pool/LOCAL/main/alias.deb", "a package"),
        ("/merged/pool/LOCAL/main/x%2By~1.deb", "an odd package"),
        ("/pool/LOCAL/_/flat.deb", "a flat package"),
        ("/pool/LOCAL/_/./flat.deb", "a flat package"),
    ] {
        assert_eq!(server.get(path).text(), text, "{path}");
    }
    assert_eq!(server.get("/pool/GONE/main/x.deb").status, 503);
}

#[test]
fn only_get_and_head() {
    let server = Server::start();
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND",
    ] {
        for path in ["/", "/dists/daedalus/InRelease", "/pool/DEBIAN/main/x.deb"] {
            let reply = server.ask(method, path, &["Content-Length: 0"]);
            assert_eq!(
                (reply.status, reply.header("allow")),
                (405, Some("GET, HEAD")),
                "{method}"
            );
        }
    }
}

#[test]
fn pages_say_what_is_there() {
    let server = Server::start();
    for path in ["/", "/merged", "/merged/"] {
        let page = server.get(path);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let line = "deb http://apt.example/merged daedalus main contrib\n";
        assert!(page.text().contains(line), "{}", page.text());
        assert!(
            page.text()
                .contains("DEBIAN: https://mirror.example/debian")
        );
        let archive = server.path("archive");
        assert!(!page.text().contains(archive.to_str().unwrap()));
    }
    let page = server.get("/dists/");
    assert!(
        page.text()
            .contains("<a href=\"./daedalus/\">daedalus/</a>"),
        "{}",
        page.text()
    );
    let page = server.get("/merged/dists");
    assert!(
        page.text().contains("<a href=\"./dists/daedalus/\">"),
        "{}",
        page.text()
    );
    let empty = server.ask("HEAD", "/dists/", &[]);
    assert_eq!(empty.status, 200);
    assert_ne!(empty.header("content-length"), Some("0"));
}

#[test]
fn the_link_is_read_for_every_request() {
    let server = Server::start();
    let mut client = server.connect();
    let mut ask = || {
        client.send("GET", "/merged/dists/daedalus/InRelease", &[]);
        client.reply(false)
    };
    assert_eq!(ask().text(), IN_RELEASE);
    symlink("volatile", server.path("new")).unwrap();
    fs::rename(server.path("new"), server.path("merged")).unwrap();
    assert_eq!(ask().text(), "9876543210");
    fs::remove_file(server.path("merged")).unwrap();
    assert_eq!(ask().status, 503);
    symlink("production", server.path("merged")).unwrap();
    assert_eq!(ask().text(), IN_RELEASE);
}

/// More than the kernel buffers between the two sides of a connection.
const BIG_BYTES: usize = 24 * 1024 * 1024;

fn make_big(server: &Server, byte: u8) {
    let new = server.path("production/dists/big.new");
    write(&new, &vec![byte; BIG_BYTES]);
    fs::rename(new, server.path("production/dists/big")).unwrap();
}

#[test]
fn a_file_is_sent_to_its_end_as_it_was() {
    let server = Server::start();
    make_big(&server, b'a');
    let mut client = server.connect();
    client.send("GET", "/merged/dists/big", &[]);
    client.0.fill_buf().unwrap();
    make_big(&server, b'b');
    symlink("volatile", server.path("new")).unwrap();
    fs::rename(server.path("new"), server.path("merged")).unwrap();
    let reply = client.reply(false);
    assert_eq!(reply.body.len(), BIG_BYTES);
    assert!(reply.body.iter().all(|byte| *byte == b'a'));
    client.send("GET", "/merged/dists/big", &[]);
    assert_eq!(client.reply(false).status, 404);
}

#[test]
fn a_file_cut_short_in_place_breaks_the_connection() {
    let server = Server::start();
    make_big(&server, b'a');
    let mut client = server.connect();
    client.send("GET", "/dists/big", &[]);
    client.0.fill_buf().unwrap();
    let path = server.path("production/dists/big");
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(10)
        .unwrap();
    let mut all = Vec::new();
    let _ = client.0.read_to_end(&mut all);
    assert!(all.len() < BIG_BYTES);
    wait_for(|| {
        server
            .accesses
            .lock()
            .unwrap()
            .iter()
            .any(|access| access.problem.is_some())
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    let one = "GET /dists/daedalus/InRelease HTTP/1.1\r\nHost: apt.example\r\nRange: bytes=";
    let requests: String = (0..10).map(|n| format!("{one}{n}-{n}\r\n\r\n")).collect();
    client.write(requests.as_bytes());
    for n in 0..10 {
        assert_eq!(client.reply(false).text(), n.to_string());
    }
    client.send("GET", "/nowhere", &[]);
    assert_eq!(client.reply(false).status, 404);
    client.send("GET", "/dists/daedalus/InRelease", &["Connection: close"]);
    assert_eq!(client.reply(false).text(), IN_RELEASE);
    assert!(client.is_closed());
}

#[test]
fn many_clients_at_once() {
    // Fewer places than clients: the others wait for theirs.
    let server = Server::with(Limits {
        connections: 16,
        ..Limits::default()
    });
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..20 {
                    client.send("GET", "/merged/dists/stable/InRelease", &[]);
                    assert_eq!(client.reply(false).text(), IN_RELEASE);
                }
            });
        }
    });
    wait_for(|| server.accesses.lock().unwrap().len() == 64 * 20);
}

#[test]
fn connections_over_the_limit_wait() {
    let server = Server::with(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut first = server.connect();
    first.send("GET", "/dists/daedalus/InRelease", &[]);
    assert_eq!(first.reply(false).status, 200);
    let mut second = server.connect();
    second.send("GET", "/dists/daedalus/InRelease", &[]);
    second
        .0
        .get_ref()
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(second.0.fill_buf().is_err());
    drop(first);
    second
        .0
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(second.reply(false).status, 200);
}

#[test]
fn one_client_does_not_get_every_place() {
    let server = Server::with(Limits {
        per_client: 2,
        ..Limits::default()
    });
    let ask = || {
        let mut client = server.connect();
        client.send("GET", "/dists/daedalus/InRelease", &[]);
        client
    };
    let mut held = [ask(), ask()];
    for client in &mut held {
        assert_eq!(client.reply(false).status, 200);
    }
    let mut third = server.connect();
    assert!(third.is_closed());
    drop(held);
    wait_for(|| {
        let mut next = server.connect();
        let asked = write!(next.0.get_mut(), "GET / HTTP/1.0\r\n\r\n");
        let mut reply = String::new();
        asked.is_ok() && next.0.read_to_string(&mut reply).is_ok() && reply.contains(" 200 ")
    });
}

#[test]
fn a_request_names_one_host() {
    let server = Server::start();
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\n", 200),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\n", 200),
        ("1.0", "Host: a\r\nHost: a\r\n", 400),
    ] {
        let mut client = server.connect();
        let request = format!("GET / HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        client.write(request.as_bytes());
        let mut reply = String::new();
        client.0.read_to_string(&mut reply).unwrap();
        let expected = format!(" {status} ");
        assert!(
            reply[..20].contains(&expected),
            "{version} {hosts}: {reply}"
        );
    }
}

#[test]
fn a_second_signal_waits_for_nobody() {
    if !is_alone("serve::a_second_signal_waits_for_nobody") {
        return;
    }
    let mut server = Server::until(
        Stop::at_signals(),
        Limits {
            drain: Duration::from_secs(86_400),
            stall: Duration::from_secs(86_400),
            ..Limits::default()
        },
    );
    make_big(&server, b'a');
    let mut stuck = server.connect();
    stuck.send("GET", "/dists/big", &[]);
    stuck.0.fill_buf().unwrap();
    // It answers, so it hears signals.
    let terminate = || nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
    terminate();
    wait_for(|| TcpStream::connect(server.address).is_err());
    terminate();
    server.thread.take().unwrap().join().unwrap().unwrap();
}

fn short() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(500),
        stall: Duration::from_secs(1),
        drain: Duration::from_millis(500),
        ..Limits::default()
    }
}

#[test]
fn who_never_ends_a_header_is_cut_off() {
    let server = Server::with(short());
    let mut client = server.connect();
    let began = Instant::now();
    client.write(b"GET / HTTP/1.1\r\n");
    let mut line = 0;
    // A line now and then does not help.
    while began.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(100));
        line += 1;
        if write!(client.0.get_mut(), "X-{line}: x\r\n").is_err() {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn idle_connections_are_closed() {
    let server = Server::with(short());
    let mut silent = server.connect();
    let mut idle = server.connect();
    idle.send("GET", "/dists/daedalus/InRelease", &[]);
    assert_eq!(idle.reply(false).status, 200);
    assert!(idle.is_closed());
    assert!(silent.is_closed());
}

#[test]
fn who_does_not_read_is_cut_off() {
    let server = Server::with(short());
    make_big(&server, b'a');
    let mut client = server.connect();
    client.send("GET", "/dists/big", &[]);
    wait_for(|| server.accesses.lock().unwrap().len() == 1);
    let access = server.accesses.lock().unwrap()[0].clone();
    assert_eq!(access.status, 200);
    assert!(access.bytes < BIG_BYTES as u64, "{access:?}");
}

#[test]
fn who_reads_next_to_nothing_is_cut_off() {
    let server = Server::with(Limits {
        stall_bytes: 8 * 1024 * 1024,
        ..short()
    });
    make_big(&server, b'a');
    let mut client = server.connect();
    client.send("GET", "/dists/big", &[]);
    let began = Instant::now();
    // Each read lets the server send a little more, so a bound on the wait between two writes would not hold.
    let mut piece = vec![0; 64 * 1024];
    while server.accesses.lock().unwrap().is_empty() {
        let _ = client.0.get_mut().read(&mut piece);
        thread::sleep(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(15), "it never came");
    }
    let access = server.accesses.lock().unwrap()[0].clone();
    assert!(access.bytes < BIG_BYTES as u64, "{access:?}");
}

#[test]
fn who_reads_slowly_but_steadily_is_served() {
    let server = Server::with(short());
    make_big(&server, b'a');
    let mut client = server.connect();
    client.send("GET", "/dists/big", &["Connection: close"]);
    let mut bytes = 0;
    let mut piece = vec![0; 512 * 1024];
    loop {
        match client.0.read(&mut piece).unwrap() {
            0 => break,
            read => bytes += read,
        }
        thread::sleep(Duration::from_millis(40));
    }
    assert!(bytes > BIG_BYTES);
}

#[test]
fn long_headers_are_refused() {
    let server = Server::start();
    let long = format!("X: {}", "x".repeat(20 * 1024));
    assert_eq!(server.ask("GET", "/", &[&long]).status, 431);
    let mut client = server.connect();
    let endless = vec![b'x'; 64 * 1024];
    client.write(b"GET / HTTP/1.1\r\nX: ");
    let _ = client.0.get_mut().write_all(&endless);
    let mut line = String::new();
    // The answer may be lost to the reset that follows what was sent in vain.
    if client.0.read_line(&mut line).is_ok() {
        assert!(line.contains(" 431 "), "{line}");
    }
}

#[test]
fn garbage_is_refused() {
    let server = Server::start();
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nX\x01: y\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.write(garbage.as_bytes());
        let mut reply = String::new();
        client.0.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 400 "), "{garbage:?}: {reply}");
    }
    assert_eq!(server.get("/dists/daedalus/InRelease").status, 200);
}

#[test]
fn stopping_lets_answers_end() {
    let mut server = Server::start();
    make_big(&server, b'a');
    let mut idle = server.connect();
    idle.send("GET", "/dists/daedalus/InRelease", &[]);
    idle.reply(false);
    let mut busy = server.connect();
    busy.send("GET", "/dists/big", &[]);
    busy.0.fill_buf().unwrap();
    server.stop.stop();
    assert!(idle.is_closed());
    assert_eq!(busy.reply(false).body.len(), BIG_BYTES);
    assert!(busy.is_closed());
    let began = Instant::now();
    server.end().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn stopping_waits_for_nobody_for_ever() {
    let mut server = Server::with(Limits {
        drain: Duration::from_millis(500),
        ..Limits::default()
    });
    make_big(&server, b'a');
    let mut stuck = server.connect();
    stuck.send("GET", "/dists/big", &[]);
    stuck.0.fill_buf().unwrap();
    let began = Instant::now();
    server.end().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn accesses_are_told() {
    let server = Server::start();
    server.ask(
        "GET",
        "/dists/daedalus/InRelease?a=%22b",
        &["User-Agent: test/1"],
    );
    server.get("/nowhere");
    fs::remove_file(server.path("merged")).unwrap();
    server.get("/dists/");
    wait_for(|| server.accesses.lock().unwrap().len() == 3);
    let accesses = server.accesses.lock().unwrap().clone();
    let find = |status| {
        accesses
            .iter()
            .find(|access| access.status == status)
            .unwrap()
    };
    let access = find(200);
    assert_eq!((access.method.as_str(), access.bytes), ("GET", 10));
    assert_eq!(access.target, "/dists/daedalus/InRelease?a=%22b");
    assert_eq!(access.agent.as_deref(), Some("test/1"));
    assert!(access.peer.ip().is_loopback());
    assert_eq!(find(404).problem, None);
    let problem = find(503).problem.clone().unwrap();
    assert!(problem.contains("merged"), "{problem}");
}

#[track_caller]
fn wait_for(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came");
        thread::sleep(Duration::from_millis(20));
    }
}
