//! Shows on real nginx and Apache that rules lead where they should and nowhere else, and that of a local archive only packages are served.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::apt::{Answer, Server, get};
use crate::common::programs::{free_port, has};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST, stanza};

/// A web server over the root of a site.
pub(crate) struct Web {
    child: Child,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

impl Web {
    /// Starts a server with rules; `None`, aloud, where it is not installed.
    pub(crate) fn start(server: &str, site: &Site, rules: &str) -> Option<Web> {
        let program = match server {
            "nginx" => "nginx",
            _ => "apache2",
        };
        if !has(program) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().display();
        let port = free_port();
        let root = site.root();
        let root = root.display();
        let user = match nix::unistd::geteuid().is_root() {
            true => "root",
            false => "nobody",
        };
        let config = match server {
            "nginx" => format!(
                "user {user};\ndaemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\nevents {{}}\n\
                 http {{\naccess_log off;\nclient_body_temp_path {here}/b;\nproxy_temp_path {here}/p;\n\
                 fastcgi_temp_path {here}/f;\nuwsgi_temp_path {here}/u;\nscgi_temp_path {here}/s;\n\
                 server {{\nlisten 127.0.0.1:{port};\nroot {root};\n{rules}\n}}\n}}\n"
            ),
            _ => {
                let module = |name: &str| {
                    format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
                };
                let modules: String = ["mpm_event", "authz_core", "rewrite"].map(module).concat();
                format!(
                    "ServerRoot {here}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {here}/pid\nErrorLog {here}/error.log\n\
                     {modules}User www-data\nGroup www-data\nDocumentRoot {root}\n\
                     <Directory />\nRequire all granted\nOptions FollowSymLinks\n</Directory>\n{rules}\n"
                )
            }
        };
        let file = dir.path().join("conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        match server {
            "nginx" => command.args(["-e", &format!("{here}/error.log"), "-c"]),
            _ => command.args(["-DFOREGROUND", "-f"]),
        };
        let child = command.arg(&file).stdin(Stdio::null()).spawn().unwrap();
        let web = Web {
            child,
            port,
            _dir: dir,
        };
        let up = (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(up, "{server} does not answer");
        Some(web)
    }

    /// Returns host and port.
    #[cfg(feature = "serve")]
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn get(&self, path: &str) -> Answer {
        get(TcpStream::connect(("127.0.0.1", self.port)).unwrap(), path)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to end, not when it is killed.
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_no_base_is_refused_and_no_password_is_published() {
    let site = Site::new();
    for (bad, why) in [
        ("https://me:secret@mirror.example/x", "password"),
        (
            "https://mirror.example/a b",
            "a character that a URI cannot have; write it percent-encoded",
        ),
        (
            "https://mirror.example/\\n}",
            "a character that a URI cannot have",
        ),
        (
            "https://mirror.example/\\\"x",
            "a character that a URI cannot have",
        ),
        (
            "https://mirror.example/{x}",
            "a character that a URI cannot have",
        ),
        ("https://mirror.example/%zz", "hexadecimal"),
        ("https://mirror.example/../x", "segment"),
        ("https://mirror.example/x?y=z", "query"),
        ("https://mirror.example/x#y", "fragment"),
        ("https://mirror.example;x/", "host"),
        ("file:///srv/x", "http"),
    ] {
        site.change_config(
            "pool = \"MAIN\"",
            &format!("pool = \"MAIN\"\nredirect = \"{bad}\""),
        );
        let said = site.aptmerge(&["config", "redirects"]);
        said.expect(78, &["redirect", why]);
        assert!(!said.stderr.contains("secret"), "{}", said.stderr);
        site.restore_config();
    }
    let secret = "uris = [\"https://me:secret@mirror.example/x\", ";
    site.change_config("uris = [", secret);
    for server in ["nginx", "apache"] {
        let said = site.aptmerge(&["config", "redirects", server]);
        assert!(
            !said.expect(0, &[]).stdout.contains("secret"),
            "{}",
            said.stdout
        );
    }
}

/// A stanza whose file lies at a path.
fn at(name: &str, path: &str) -> String {
    stanza(name).replace(&format!("pool/main/{name}_1.0_amd64.deb"), path)
}

#[test]
fn of_a_local_archive_only_what_is_named_is_reachable() {
    let site = Site::new();
    fs::set_permissions(
        site.path("."),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    site.change_config("pool-links = false", "pool-links = true");
    let archive = site.path("archives/main");
    let named = [
        "conf/x.deb",
        ".git/x.deb",
        "a/.hidden.deb",
        "conf/secret.key",
        "extra/deep/y_1%3a2.deb",
        "extra/z_1%3a2.deb",
        "out.deb",
        "inner.deb",
        "conf/private.asc",
        "%2egit/y.deb",
        "fifo.deb",
    ];
    for path in [
        "conf/x.deb",
        "conf/secret.key",
        "conf/other.deb",
        "conf/private.asc",
        ".git/x.deb",
        ".git/y.deb",
        ".git/config",
        "a/.hidden.deb",
        "extra/deep/y_1:2.deb",
        "extra/z_1%3a2.deb",
        "extra/secret",
        "pool/main/p.deb",
        "pool/main/.git/config",
        "pool/.git/config",
        "pool/.hidden.deb",
    ] {
        fs::create_dir_all(archive.join(path).parent().unwrap()).unwrap();
        fs::write(archive.join(path), path).unwrap();
    }
    symlink("/etc/passwd", archive.join("out.deb")).unwrap();
    symlink(".git/config", archive.join("inner.deb")).unwrap();
    symlink("../.git/config", archive.join("pool/inner.deb")).unwrap();
    symlink("/etc", archive.join("pool/etc")).unwrap();
    nix::unistd::mkfifo(&archive.join("fifo.deb"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    for (number, path) in named.iter().enumerate() {
        suite.append_stanza(
            "main/binary-amd64/Packages",
            &at(&format!("p{number}"), path),
        );
    }
    let source = "Package: src\nBinary: src\nVersion: 1\nMaintainer: A <a@site.example>\nArchitecture: any\nFormat: 1.0\nDirectory: sources\nFiles:\n 00000000000000000000000000000000 1 src_1.dsc\n 00000000000000000000000000000000 1 src_1.tar.gz\n 00000000000000000000000000000000 1 .secret\n";
    for path in [
        "sources/src_1.dsc",
        "sources/src_1.tar.gz",
        "sources/.secret",
        "sources/note",
    ] {
        fs::create_dir_all(archive.join(path).parent().unwrap()).unwrap();
        fs::write(archive.join(path), path).unwrap();
    }
    suite.append_stanza("main/source/Sources", source);
    suite.sign();
    site.run(&[]).expect(0, &["hidden or no package file"]);
    let pool = site.root().join("merged/pool/MAIN");
    let walk = walkdir::WalkDir::new(&pool).sort_by_file_name().into_iter();
    let links: Vec<String> = walk
        .map(Result::unwrap)
        .filter(|entry| entry.path_is_symlink())
        .map(|entry| {
            entry
                .path()
                .strip_prefix(&pool)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    let expected = [
        "_/conf/x.deb",
        "_/extra/deep/y_1:2.deb",
        "_/extra/z_1%3a2.deb",
        "_/sources/src_1.dsc",
        "_/sources/src_1.tar.gz",
    ];
    let outside: Vec<&String> = links
        .iter()
        .filter(|link| link.starts_with("_/") && !link.contains("odd-dists"))
        .collect();
    assert_eq!(outside, expected);
    let rest: Vec<&String> = links
        .iter()
        .filter(|link| !link.starts_with("_/"))
        .collect();
    assert!(
        rest.contains(&&"main".to_owned()) && !rest.iter().any(|link| link.starts_with('.')),
        "{rest:?}"
    );
    assert!(
        links
            .iter()
            .all(|link| !pool.join(link).is_dir() || !link.starts_with("_/"))
    );

    let server = Server::start(site.command(&[]));
    let ours = |path: &str| server.get(path).status;
    let reachable = [
        ("_/conf/x.deb", 200),
        ("_/extra/deep/y_1%3a2.deb", 200),
        ("_/extra/z_1%253a2.deb", 200),
        ("main/p.deb", 200),
        ("_/sources/src_1.dsc", 200),
        ("_/conf/secret.key", 404),
        ("_/conf/other.deb", 404),
        ("_/conf/private.asc", 404),
        ("_/.git/x.deb", 404),
        ("_/.git/config", 404),
        ("_/%2egit/y.deb", 404),
        ("_/a/.hidden.deb", 404),
        ("_/extra/secret", 404),
        ("_/out.deb", 404),
        ("_/inner.deb", 404),
        ("_/fifo.deb", 404),
        ("_/sources/.secret", 404),
        ("_/sources/note", 404),
        (".git/config", 404),
        (".hidden.deb", 404),
        ("main/.git/config", 404),
        ("main/%2egit/config", 404),
    ];
    for (path, status) in reachable {
        assert_eq!(
            ours(&format!("/merged/pool/MAIN/{path}")),
            status,
            "serve {path}"
        );
    }
    assert_eq!(ours("/merged/pool/MAIN/inner.deb"), 404);
    assert_eq!(ours("/merged/pool/MAIN/etc/passwd"), 404);
    for server in ["nginx", "apache"] {
        let rules = site.aptmerge(&["config", "redirects", server]).stdout;
        if let Some(web) = Web::start(server, &site, &rules) {
            for (path, status) in reachable {
                let found = web.get(&format!("/merged/pool/MAIN/{path}")).status;
                let found = if found == 403 { 404 } else { found };
                assert_eq!(found, status, "{server} {path}");
            }
        }
    }
    // What is no longer named is no longer there.
    let mut suite = site.main();
    suite.set("Date", NEWEST);
    let text = suite.index("main/binary-amd64/Packages");
    suite.put_index(
        "main/binary-amd64/Packages",
        text.replace("conf/x.deb", "pool/main/p.deb").as_bytes(),
    );
    suite.sign();
    site.run(&[]);
    assert!(!pool.join("_/conf").exists());
}

#[test]
fn a_push_brings_no_pool_of_a_local_archive() {
    if !has("rsync") {
        return;
    }
    let site = Site::new();
    site.change_config("pool-links = false", "pool-links = true");
    fs::create_dir_all(site.path("archives/main/pool/main/.git")).unwrap();
    fs::write(site.path("archives/main/pool/main/.git/config"), "secret").unwrap();
    let target = site.path("target");
    let text = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let push = format!(
        "\n[[push]]\nname = \"t\"\nrsync = \"{}\"\noptions = [\"--copy-links\"]\n",
        target.display()
    );
    site.write_config(&(text + &push));
    site.run(&[]).expect(0, &[]);
    assert!(target.join("dists/daedalus/InRelease").is_file());
    assert!(!target.join("pool").exists());
    assert!(Path::new(&site.root().join("merged/pool/MAIN/main")).exists());
}
