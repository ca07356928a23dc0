//! Odd but legal requests: `serve`, nginx and Apache by the rules written for them, and nginx as a proxy all answer alike.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::common::apt::{Answer, Server, ask};
use crate::common::site::Site;
use crate::common::web::Mirror;
use crate::web_servers::Web;

/// The answer that every server has to give.
#[derive(Debug, Clone, Copy)]
enum Right {
    /// A redirect to this path below the archive; from a proxy, the file that the archive has there.
    To(&'static str),
    /// The file of this name in the pool of the local archive.
    Local(&'static str),
    /// These bytes of a local file, with this status.
    Bytes(u16, &'static str),
    /// The InRelease of the suite.
    Release,
    /// A status from 400 to 499.
    Refused,
    /// A refusal, or the InRelease: nginx and Apache take dots out of the path of a file, and nginx takes `%2f` for a slash in it.
    ReleaseOrRefused,
}
use Right::{Bytes, Local, Refused, Release, ReleaseOrRefused, To};

/// The signs in the name of the archive's pool: apt sends `+` as `%2b`.
const POOL: &str = "MA.IN+x";

const NAMES: [&str; 7] = [
    "p+q~1:2_amd64.deb",
    "ü.deb",
    "a b.deb",
    "100%.deb",
    "a;b,c=d.deb",
    "a#b?c.deb",
    "!$&'()*@[]^`{|}.deb",
];

/// Method, path, further headers, and the answer. `@` is the pool of the archive elsewhere, `~L` that of the local one.
const REQUESTS: &[(&str, &str, &str, Right)] = &[
    // Slashes and blank segments.
    ("GET", "/merged/@/main/a.deb", "", To("pool/main/a.deb")),
    ("HEAD", "/merged/@/main/a.deb", "", To("pool/main/a.deb")),
    ("GET", "//merged/@/main/a.deb", "", To("pool/main/a.deb")),
    ("GET", "/merged//@/main/a.deb", "", To("pool/main/a.deb")),
    ("GET", "//merged//@//main/a.deb", "", To("pool/main/a.deb")),
    ("GET", "///merged///@///_///a.deb", "", To("a.deb")),
    (
        "GET",
        "/./merged/./@/./main/a.deb",
        "",
        To("pool/main/a.deb"),
    ),
    ("GET", "/merged/%2e/@/%2E/_/./a.deb", "", To("a.deb")),
    ("GET", "/merged/@/main//a.deb", "", To("pool/main//a.deb")),
    ("GET", "/merged/@/main/./a.deb", "", To("pool/main/./a.deb")),
    (
        "GET",
        "http://localhost/merged/@/main/a.deb",
        "",
        To("pool/main/a.deb"),
    ),
    (
        "GET",
        "http://localhost//merged//@//_/a.deb",
        "",
        To("a.deb"),
    ),
    // Escapes stay as they were sent.
    (
        "GET",
        "/%6derged/p%6F%6fl/MA%2eIN%2bx/%5f/a.deb",
        "",
        To("a.deb"),
    ),
    (
        "GET",
        "/merged/pool/MA.IN%2Bx/main/a%2bb%7Ec.deb",
        "",
        To("pool/main/a%2bb%7Ec.deb"),
    ),
    (
        "GET",
        "/merged/@/main/a+b~c:1_2-3.deb",
        "",
        To("pool/main/a+b~c:1_2-3.deb"),
    ),
    (
        "GET",
        "/merged/@/main/100%25.deb",
        "",
        To("pool/main/100%25.deb"),
    ),
    (
        "GET",
        "/merged/@/main/1%253a2.deb",
        "",
        To("pool/main/1%253a2.deb"),
    ),
    (
        "GET",
        "/merged/@/main/%C3%bc%20x.deb",
        "",
        To("pool/main/%C3%bc%20x.deb"),
    ),
    (
        "GET",
        "/merged/@/main/a%23b%3fc.deb",
        "",
        To("pool/main/a%23b%3fc.deb"),
    ),
    (
        "GET",
        "/merged/@/main/%22%3C%3E%5B%5D%5E%60%7B%7C%7D.deb",
        "",
        To("pool/main/%22%3C%3E%5B%5D%5E%60%7B%7C%7D.deb"),
    ),
    (
        "GET",
        "/merged/@/main/a;b,c=d!$&'()*@$1$host.deb",
        "",
        To("pool/main/a;b,c=d!$&'()*@$1$host.deb"),
    ),
    ("GET", "/merged/@/main/%%7b1%7d", "", Refused),
    (
        "GET",
        "/merged/@/main/%7bHTTP%7d%24%7b1%7d$1%25%7b1%7d.deb",
        "",
        To("pool/main/%7bHTTP%7d%24%7b1%7d$1%25%7b1%7d.deb"),
    ),
    // Queries do not belong to the name.
    ("GET", "/merged/@/main/a.deb?", "", To("pool/main/a.deb")),
    (
        "GET",
        "/merged/@/main/a.deb?x=y/../z&/..",
        "",
        To("pool/main/a.deb"),
    ),
    (
        "GET",
        "/merged/@/main/a%3fb.deb?x=%3f",
        "",
        To("pool/main/a%3fb.deb"),
    ),
    // Names that look like others.
    ("GET", "/merged/@/_x/a.deb", "", To("pool/_x/a.deb")),
    ("GET", "/merged/@/_/_/a.deb", "", To("_/a.deb")),
    ("GET", "/merged/@/_/pool/_/a.deb", "", To("pool/_/a.deb")),
    ("GET", "/merged/@/_/...", "", To("...")),
    (
        "GET",
        "/merged/@/main/..a/a../a..b",
        "",
        To("pool/main/..a/a../a..b"),
    ),
    (
        "GET",
        "/merged/@/merged/pool/a.deb",
        "",
        To("pool/merged/pool/a.deb"),
    ),
    (
        "GET",
        "/merged/@/http://other.example/a.deb",
        "",
        To("pool/http://other.example/a.deb"),
    ),
    (
        "GET",
        "/merged/@/_//other.example/a.deb",
        "",
        To("other.example/a.deb"),
    ),
    // Paths that name nothing, and paths that climb.
    ("GET", "/merged/@/", "", Refused),
    ("GET", "/merged/@/.", "", Refused),
    ("GET", "/merged/@/_", "", Refused),
    ("GET", "/merged/@/_/", "", Refused),
    ("GET", "/merged/@/_//./", "", Refused),
    ("GET", "/merged/@/_/?x", "", Refused),
    ("GET", "/merged/pool/MAXIN+x/a.deb", "", Refused),
    ("GET", "/merged/pool/MA.IN+xx/a.deb", "", Refused),
    ("GET", "/merged/pool/ma.in+x/a.deb", "", Refused),
    ("GET", "/merged/@/_/../a.deb", "", Refused),
    ("GET", "/merged/@/_/..", "", Refused),
    ("GET", "/merged/@/../@/a.deb", "", Refused),
    ("GET", "/merged/@/main/../../../a.deb", "", Refused),
    ("GET", "/merged/@/_/%2e%2e/a.deb", "", Refused),
    ("GET", "/merged/@/_/.%2E/a.deb", "", Refused),
    ("GET", "/merged/@/_/%252e%252e/a.deb", "", Refused),
    ("GET", "/merged/@/_/.%25252e/a.deb", "", Refused),
    ("GET", "/merged/@/_/..?x", "", Refused),
    ("GET", "/merged/@/_/..%3fx", "", Refused),
    ("GET", "/merged/@/_/..%23/x", "", Refused),
    ("GET", "/merged/@/_/..%253fx", "", Refused),
    ("GET", "/merged/@/_/..;x/x", "", Refused),
    ("GET", "/merged/@/_/a/..%3Bx", "", Refused),
    ("GET", "/merged/@/_//../..//x", "", Refused),
    ("GET", "/merged/@/_/..%2fx", "", Refused),
    ("GET", "/merged/@/a%2Fb.deb", "", Refused),
    ("GET", "/merged/@/a%252Fb.deb", "", Refused),
    ("GET", "/merged%2f@/a.deb", "", Refused),
    ("GET", "/merged/@/a%5c..%5cb.deb", "", Refused),
    ("GET", "/merged/@/a%00b.deb", "", Refused),
    ("GET", "/merged/@/a%0d%0aX:%20y", "", Refused),
    ("GET", "/merged/@/a%250d%250aX", "", Refused),
    ("GET", "/merged/@/a%7f", "", Refused),
    ("GET", "/merged/@/a%zz", "", Refused),
    ("GET", "/merged/@/a%2", "", Refused),
    // The pool of an archive on this machine.
    (
        "GET",
        "/merged/~L/main/p+q~1:2_amd64.deb",
        "",
        Local("p+q~1:2_amd64.deb"),
    ),
    (
        "GET",
        "//merged//~L//main//p%2bq%7e1%3A2%5famd64.deb?x=y",
        "",
        Local("p+q~1:2_amd64.deb"),
    ),
    (
        "GET",
        "/./merged/%70ool/./OVERLAY/%6dain/%C3%BC.deb",
        "",
        Local("ü.deb"),
    ),
    ("GET", "/merged/~L/main/a%20b.deb", "", Local("a b.deb")),
    ("GET", "/merged/~L/main/100%25.deb", "", Local("100%.deb")),
    (
        "GET",
        "/merged/~L/main/a;b,c=d.deb",
        "",
        Local("a;b,c=d.deb"),
    ),
    (
        "GET",
        "/merged/~L/main/a%3Bb%2cc%3Dd.deb",
        "",
        Local("a;b,c=d.deb"),
    ),
    (
        "GET",
        "/merged/~L/main/a%23b%3Fc.deb",
        "",
        Local("a#b?c.deb"),
    ),
    (
        "GET",
        "/merged/~L/main/!$&'()*@%5B%5D%5E%60%7B%7C%7D.deb",
        "",
        Local("!$&'()*@[]^`{|}.deb"),
    ),
    ("HEAD", "/merged/~L/main/100%25.deb", "", Bytes(200, "")),
    (
        "GET",
        "/merged/~L/main/100%25.deb",
        "Range: bytes=2-3\r\n",
        Bytes(206, "0%"),
    ),
    (
        "GET",
        "/merged/~L/main/100%25.deb",
        "Range: bytes=-3\r\n",
        Bytes(206, "deb"),
    ),
    (
        "GET",
        "/merged/~L/main/100%25.deb",
        "Range: bytes=99-\r\n",
        Refused,
    ),
    ("GET", "/merged/~L/main/p%20q~1:2_amd64.deb", "", Refused),
    ("GET", "/merged/~L/main/100%2525.deb", "", Refused),
    ("GET", "/merged/~L/main/.git/config", "", Refused),
    ("GET", "/merged/~L//main//.git/config", "", Refused),
    ("GET", "/merged/~L/main/%2egit/config", "", Refused),
    (
        "GET",
        "/merged/~L/main/../../../../../../keys/overlay.secret.asc",
        "",
        Refused,
    ),
    (
        "GET",
        "/merged/~L/main/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/aptmerge.toml",
        "",
        Refused,
    ),
    (
        "GET",
        "/merged/~L/main/..%2f..%2faptmerge.toml",
        "",
        Refused,
    ),
    // The indices.
    ("GET", "/merged/dists/daedalus/InRelease", "", Release),
    ("GET", "//merged//dists/./daedalus//InRelease", "", Release),
    (
        "GET",
        "/merged/dists/d%61edalus/%49nRelease?x=/..",
        "",
        Release,
    ),
    (
        "GET",
        "http://localhost/merged/dists/daedalus/InRelease",
        "",
        Release,
    ),
    (
        "GET",
        "/merged/dists/daedalus/InRelease",
        "Range: bytes=0-4\r\n",
        Bytes(206, "-----"),
    ),
    ("GET", "/merged/dists/daedalus/InRelease/", "", Refused),
    ("GET", "/merged/dists/daedalus/InRelease%3fx", "", Refused),
    (
        "GET",
        "/merged/dists/daedalus%2fInRelease",
        "",
        ReleaseOrRefused,
    ),
    (
        "GET",
        "/merged/dists/x/../daedalus/InRelease",
        "",
        ReleaseOrRefused,
    ),
    (
        "GET",
        "/merged/../merged/dists/daedalus/InRelease",
        "",
        ReleaseOrRefused,
    ),
    ("GET", "/merged/../../../../aptmerge.toml", "", Refused),
    (
        "GET",
        "/merged/dists/%2e%2e/%2e%2e/%2e%2e/aptmerge.toml",
        "",
        Refused,
    ),
];

/// The fault of an answer; the base of redirects is `None` where the server is a proxy.
fn fault(
    right: Right,
    answer: &Answer,
    base: Option<&str>,
    asked: &[String],
    release: &[u8],
) -> Option<String> {
    let location = answer.headers.get("location").map(String::as_str);
    let is_good = match (right, base) {
        (To(path), Some(base)) => {
            answer.status == 302 && location == Some(&format!("{base}/{path}"))
        }
        (To(path), None) => answer.status == 200 && asked == [format!("{PROXIED}/{path}")],
        (Local(name), _) => answer.status == 200 && answer.body == name.as_bytes(),
        (Bytes(status, text), _) => answer.status == status && answer.body == text.as_bytes(),
        (Release, _) => answer.status == 200 && answer.body == release,
        (Refused, _) => (400..500).contains(&answer.status),
        (ReleaseOrRefused, _) => (400..500).contains(&answer.status) || answer.body == release,
    };
    let leaks = !asked.is_empty() && !matches!(right, To(_));
    (!is_good || leaks).then(|| format!("{right:?}, but {} {location:?} {asked:?}", answer.status))
}

/// The path below which the archive behind the proxy lies.
const PROXIED: &str = "deb;x/%2b%241";

#[test]
fn all_servers_answer_alike() {
    let site = Site::new();
    fs::set_permissions(site.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    // Characters that mean something to a configuration mean nothing in a base.
    let base = "https://mirror.example/deb;$host$1'(~!&*,=:@/x%2by%20z";
    let changed = |base: &str| {
        site.change_config("pool-links = false", "pool-links = true");
        site.configure(
            "pool = \"MAIN\"",
            &format!("pool = \"{POOL}\"\nredirect = \"{base}\""),
        );
    };
    changed(base);
    let pool = site.path("archives/overlay/pool/main");
    fs::create_dir_all(pool.join(".git")).unwrap();
    fs::write(pool.join(".git/config"), "secret").unwrap();
    for name in NAMES {
        fs::write(pool.join(name), name).unwrap();
    }
    site.ok(&["run"]);
    let release = fs::read(site.merged("dists/daedalus/InRelease")).unwrap();

    let mut faults = Vec::new();
    let mut tell = |server: &str, address: &str, base: Option<&str>, mirror: Option<&Mirror>| {
        for (method, path, headers, right) in REQUESTS {
            let path = path
                .replace("~L/", "pool/OVERLAY/")
                .replace("/@", &format!("/pool/{POOL}"));
            let answer = ask(TcpStream::connect(address).unwrap(), method, &path, headers);
            let asked = mirror.map(Mirror::requests).unwrap_or_default();
            let asked: Vec<String> = asked.into_iter().map(|request| request.path).collect();
            let fault = fault(*right, &answer, base, &asked, &release);
            faults.extend(fault.map(|fault| format!("{server}: {method} {path}: {fault}")));
        }
    };
    let server = Server::start(site.command(&[]));
    // nginx cannot write a `$`.
    let for_nginx = base.replace('$', "%24");
    tell("serve", &server.address, Some(base), None);
    for (name, base) in [("nginx", for_nginx.as_str()), ("apache", base)] {
        let rules = site.ok(&["config", "redirects", name]);
        if let Some(web) = Web::start(name, &site, &rules) {
            tell(name, &web.address(), Some(base), None);
        }
    }
    let mirror = Mirror::of(&site.path("archives"));
    mirror.behave(|_| Some((200, b"a package".to_vec())));
    let port = mirror.uri().rsplit(':').next().unwrap().to_owned();
    changed(&format!("http://localhost:{port}/{PROXIED}"));
    let rules = site.ok(&["config", "redirects", "nginx", "--proxy"]);
    if let Some(web) = Web::start("nginx", &site, &rules) {
        tell("nginx as proxy", &web.address(), None, Some(&mirror));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
