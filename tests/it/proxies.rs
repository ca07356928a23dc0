//! Archives through the proxies that sites have: tinyproxy, squid, apt-cacher-ng and microsocks, each as it is installed, and the variables
//! that name them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use aptmerge::proxy::NoProxy;
use aptmerge::uri::Uri;

use crate::common::processes::wait_until;
use crate::common::programs::{Said, free_port, has};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};
use crate::common::web::Mirror;

/// A proxy that a test started, in a directory of its own.
pub(crate) struct Proxy {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    log: &'static str,
}

impl Proxy {
    /// Starts a program whose configuration is a file; `None`, aloud, where it is not installed.
    fn start(
        program: &str,
        log: &'static str,
        configure: impl Fn(&Path, u16) -> String,
        arguments: impl Fn(&Path, u16) -> Vec<String>,
    ) -> Option<Proxy> {
        if !has(program) {
            return None;
        }
        // Some of them give up their rights, and write here all the same.
        let dir = tempfile::Builder::new()
            .prefix("aptmerge-proxy-")
            .tempdir()
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = free_port();
        fs::write(dir.path().join("conf"), configure(dir.path(), port)).unwrap();
        let place = ["/usr/sbin", "/usr/bin"].map(|bin| Path::new(bin).join(program));
        let program = place.iter().find(|place| place.is_file()).unwrap();
        let child = Command::new(program)
            .args(arguments(dir.path(), port))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.path().join("out")).unwrap())
            .stderr(fs::File::create(dir.path().join("err")).unwrap())
            .spawn()
            .unwrap();
        let proxy = Proxy {
            child,
            port,
            dir,
            log,
        };
        wait_until(&format!("{} answers", program.display()), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(proxy)
    }

    /// Starts tinyproxy, which by default lets tunnels lead to every port; these lines are added to its configuration.
    pub(crate) fn tinyproxy(lines: &str) -> Option<Proxy> {
        Proxy::start(
            "tinyproxy",
            "log",
            |dir, port| {
                format!(
                    "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Connect\nLogFile \"{}/log\"\n{lines}\n",
                    dir.display()
                )
            },
            |dir, _| {
                vec![
                    "-d".into(),
                    "-c".into(),
                    dir.join("conf").display().to_string(),
                ]
            },
        )
    }

    /// Starts squid with the rules of its own example: tunnels lead to `ssl_port` alone.
    pub(crate) fn squid(ssl_port: u16) -> Option<Proxy> {
        Proxy::start(
            "squid",
            "access.log",
            |dir, port| {
                let dir = dir.display();
                format!(
                    "http_port 127.0.0.1:{port}\nacl SSL_ports port {ssl_port}\nhttp_access deny CONNECT !SSL_ports\n\
                     http_access allow localhost\nhttp_access deny all\ncache deny all\npid_filename none\n\
                     access_log stdio:{dir}/access.log\ncache_log {dir}/cache.log\ncache_store_log none\nlogfile_rotate 0\n\
                     coredump_dir {dir}\nmax_filedescriptors 1024\nshutdown_lifetime 0 seconds\nvisible_hostname localhost\n\
                     pinger_enable off\n"
                )
            },
            |dir, _| {
                vec![
                    "-N".into(),
                    "-f".into(),
                    dir.join("conf").display().to_string(),
                ]
            },
        )
    }

    fn apt_cacher_ng() -> Option<Proxy> {
        Proxy::start(
            "apt-cacher-ng",
            "apt-cacher.log",
            |_, _| String::new(),
            |dir, port| {
                let dir = dir.display();
                vec![
                    "-c".into(),
                    "/etc/apt-cacher-ng".into(),
                    "ForeGround=1".into(),
                    format!("Port={port}"),
                    "BindAddress=127.0.0.1".into(),
                    format!("CacheDir={dir}"),
                    format!("LogDir={dir}"),
                    "SocketPath=".into(),
                    format!("PidFile={dir}/pid"),
                    // By default it asks servers at port 80 alone.
                    "AllowUserPorts=0".into(),
                ]
            },
        )
    }

    fn microsocks() -> Option<Proxy> {
        let arguments = |_: &Path, port: u16| {
            [
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-u",
                "robot",
                "-P",
                "S3CRET",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        Proxy::start("microsocks", "err", |_, _| String::new(), arguments)
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until the proxy wrote of something in its log.
    #[track_caller]
    pub(crate) fn expect(&self, words: &str) {
        let log = self.dir.path().join(self.log);
        wait_until(&format!("{words} is in {}", log.display()), || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains(words))
        });
    }

    fn has_said(&self, words: &str) -> bool {
        let log = fs::read_to_string(self.dir.path().join(self.log));
        log.is_ok_and(|text| text.contains(words))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            for name in ["out", "err", self.log] {
                let text = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
                eprintln!("{name}: {text}");
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a site whose archive `main` comes from a server; `overlay` stays on the disk.
fn site_over_http() -> (Site, Mirror) {
    let site = Site::new();
    let root = site.path("archives");
    // apt-cacher-ng 3.7.4 knows no ports above 32767.
    let mirror = Mirror::at(&root, free_port());
    site.configure(
        &format!("file://{}/main", root.display()),
        &format!("{}/main", mirror.uri()),
    );
    (site, mirror)
}

/// Takes the server for one of TLS, which it is not.
fn use_https(site: &Site, mirror: &Mirror) {
    site.configure(&mirror.uri(), &mirror.uri().replace("http:", "https:"));
}

/// Publishes, then a newer state of `main`, through a proxy that a line of `[fetch]` names.
fn publish_through(proxy: &str) {
    let (site, mirror) = site_over_http();
    site.configure("[fetch]", &format!("[fetch]\nproxy = \"{proxy}\""));
    // apt-cacher-ng ends a connection now and then just when a request comes.
    site.configure("retries = 0", "retries = 5");
    let first = site.run(&["-v", "--json"]);
    first.expect(0, &[]);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza("main/binary-amd64/Packages", &stanza("newcomer"));
    suite.sign();
    let second = site.run(&["-v"]);
    second.expect(0, &[]);
    let shown = site.aptmerge(&["config", "show"]);
    site.assert_secret_is_kept(&[first, second, shown]);
    let index = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(index.contains("Package: newcomer\n"));
    assert!(
        mirror
            .requests()
            .iter()
            .all(|request| !request.path.contains("://"))
    );
}

#[test]
fn tinyproxy_with_a_password_and_no_tunnels_serves() {
    if let Some(proxy) = Proxy::tinyproxy("BasicAuth robot S3CRET\nConnectPort 443") {
        publish_through(&proxy.uri().replace("//", "//robot:S3CRET@"));
        proxy.expect("GET http://127.0.0.1:");
        assert!(!proxy.has_said("CONNECT 127"));
        let (site, mirror) = site_over_http();
        site.configure("[fetch]", &format!("[fetch]\nproxy = \"{}\"", proxy.uri()));
        let words = [
            "status 407 through the proxy",
            "put a user and a password that the proxy knows",
        ];
        site.run(&[]).expect(1, &words);
        // A tunnel is refused, and what to do is said.
        use_https(&site, &mirror);
        let said = site.run(&[]);
        said.expect(1, &["refused a tunnel with status 407"]);
    }
}

#[test]
fn squid_with_its_usual_rules_serves() {
    if let Some(proxy) = Proxy::squid(443) {
        publish_through(&proxy.uri());
        proxy.expect("GET http://127.0.0.1:");
        assert!(!proxy.has_said("CONNECT"));
        let (site, mirror) = site_over_http();
        use_https(&site, &mirror);
        site.configure("[fetch]", &format!("[fetch]\nproxy = \"{}\"", proxy.uri()));
        let words = [
            "refused a tunnel with status 403",
            "must allow CONNECT to that host and port",
        ];
        site.run(&[]).expect(1, &words);
    }
}

#[test]
fn apt_cacher_ng_serves() {
    if let Some(proxy) = Proxy::apt_cacher_ng() {
        publish_through(&proxy.uri());
        proxy.expect("/main/dists/bookworm/InRelease");
    }
}

#[test]
fn a_proxy_of_the_protocol_socks_serves() {
    if let Some(proxy) = Proxy::microsocks() {
        let server = format!("robot:S3CRET@127.0.0.1:{}", proxy.port);
        publish_through(&format!("socks5h://{server}"));
        publish_through(&format!("socks5://{server}"));
        proxy.expect("127.0.0.1");
    }
}

/// A proxy that answers every request with 502, and notes its first line.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start() -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&heard);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let first = lines.next().and_then(Result::ok).unwrap_or_default();
                    while lines
                        .next()
                        .and_then(Result::ok)
                        .is_some_and(|l| !l.is_empty())
                    {}
                    notes.lock().unwrap().push(first);
                    let _ = stream.write_all(
                        b"HTTP/1.1 502 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                    );
                });
            }
        });
        Listener { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// Fetches with these variables set; the listener's port stands for `PORT`.
fn fetch_with(site: &Site, proxy: &Listener, variables: &[(&str, &str)]) -> Said {
    let mut command = site.command(&["fetch"]);
    for (name, value) in variables {
        command.env(name, value.replace("PORT", &proxy.port.to_string()));
    }
    Said::of(&command.output().unwrap())
}

#[test]
fn the_environment_counts_where_the_configuration_says_nothing() {
    let proxy = Listener::start();
    let (site, mirror) = site_over_http();
    let start = fs::read_to_string(site.config_file()).unwrap();
    site.run(&[]).expect(0, &[]);
    mirror.requests();
    let http = ("http_proxy", "http://127.0.0.1:PORT");
    let is_used = |variables: &[(&str, &str)]| {
        let said = fetch_with(&site, &proxy, variables);
        let (heard, direct) = (proxy.heard(), mirror.requests());
        assert!(
            heard.is_empty() || direct.is_empty(),
            "{heard:?} {direct:?}"
        );
        match heard.is_empty() {
            true => assert_eq!(said.code, Some(0), "{}", said.stderr),
            false => drop(said.expect(3, &["status 502 through the proxy http://127.0.0.1:"])),
        }
        !heard.is_empty()
    };
    assert!(is_used(&[http]));
    assert!(is_used(&[("http_proxy", "127.0.0.1:PORT")]));
    assert!(is_used(&[("ALL_PROXY", "http://127.0.0.1:PORT")]));
    assert!(!is_used(&[("HTTP_PROXY", "http://127.0.0.1:PORT")]));
    assert!(!is_used(&[("https_proxy", "http://127.0.0.1:PORT")]));
    assert!(!is_used(&[http, ("no_proxy", "10.0.0.0/8, 127.0.0.0/8")]));
    assert!(is_used(&[http, ("no_proxy", "10.0.0.0/8")]));
    let fetch =
        |line: &str| site.write_config(&start.replace("[fetch]", &format!("[fetch]\n{line}")));
    fetch("proxy = \"direct\"");
    assert!(!is_used(&[http]));
    fetch(&format!("proxy = \"http://127.0.0.1:{}\"", proxy.port));
    assert!(is_used(&[]));
    assert!(!is_used(&[("NO_PROXY", "*")]));
    // The setting of an archive holds for it, whatever else is said.
    let archive = |line: &str| {
        let config = fs::read_to_string(site.config_file()).unwrap();
        site.write_config(&config.replace("pool = \"MAIN\"", &format!("pool = \"MAIN\"\n{line}")));
    };
    archive("proxy = \"none\"");
    assert!(!is_used(&[http]));
    site.write_config(&start);
    archive(&format!("proxy = \"http://127.0.0.1:{}\"", proxy.port));
    assert!(is_used(&[("no_proxy", "*")]));
    // A variable that names no proxy is no reason to go without one.
    site.write_config(&start);
    let said = fetch_with(
        &site,
        &proxy,
        &[("http_proxy", "gopher://user:S3CRET@127.0.0.1")],
    );
    said.expect(
        3,
        &[
            "the environment variable http_proxy cannot be used",
            "unset the variable",
        ],
    );
    assert!(!said.stderr.contains("S3CRET"), "{}", said.stderr);
}

#[test]
fn a_proxy_that_makes_no_sense_is_refused_with_its_place() {
    let site = Site::new();
    for (wrong, words) in [
        ("proxy.example:3128", "a proxy is written http://HOST:PORT"),
        ("file:///proxy", "a proxy is written http://HOST:PORT"),
        ("http://proxy.example:x", "the port is not a number"),
    ] {
        site.change_config(
            "pool = \"MAIN\"",
            &format!("pool = \"MAIN\"\nproxy = \"{wrong}\""),
        );
        site.aptmerge(&["config", "check"])
            .expect(78, &["archives.main.proxy", words]);
    }
}

/// `no_proxy` beside curl, which the first line of a request to the proxy betrays.
#[test]
fn no_proxy_is_read_as_curl_reads_it() {
    if !has("curl") {
        return;
    }
    let proxy = Listener::start();
    let server = Listener::start();
    for no_proxy in [
        "",
        "*",
        "* ",
        "example.com",
        ".example.com",
        "other.org,example.com",
        "other.org example.com",
        "other.org, EXAMPLE.com.",
        "xample.com",
        "com",
        ".",
        ",",
        "www.example.com",
        "127.0.0.1",
        "127.0.0.0/8",
        "127.0.0.0/32",
        "10.0.0.0/8,::1",
        "::1",
        "fd00::/8",
        "127.0.0.1/33",
        "0.0.1",
        "*,example.com",
    ] {
        for host in [
            "example.com",
            "www.example.com",
            "badexample.com",
            "example.com.",
            "127.0.0.1",
            "10.9.8.7",
            "[::1]",
            "[2001:db8::7]",
        ] {
            let url = format!("http://{host}/x");
            let output = Command::new("curl")
                .args(["--silent", "--output", "/dev/null", "--noproxy", no_proxy])
                .args(["--connect-to", &format!("::127.0.0.1:{}", server.port)])
                .args(["--proxy", &format!("http://127.0.0.1:{}", proxy.port), &url])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let _ = (output, server.heard());
            let goes_straight = proxy.heard().is_empty();
            let ours = NoProxy::new(no_proxy).covers(&Uri::parse(&url).unwrap());
            assert_eq!(ours, goes_straight, "{no_proxy:?} {url}");
        }
    }
    let covers =
        |no_proxy: &str, uri: &str| NoProxy::new(no_proxy).covers(&Uri::parse(uri).unwrap());
    assert!(covers("*.example.com", "http://www.example.com/"));
    assert!(covers("example.com:8080", "http://www.example.com:8080/"));
    // curl 7.88 knows no networks of IPv6 here.
    assert!(covers("2001:db8::/32", "http://[2001:db8::7]/"));
    assert!(!covers("2001:db8::/32", "http://[2001:db9::7]/"));
    assert!(covers("[::1]:80", "http://[::1]/"));
    assert!(!covers("example.com:8080", "http://example.com/"));
}
