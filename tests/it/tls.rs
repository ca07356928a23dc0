//! Archives over https with certificates that openssl makes on the spot, served by nginx.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::programs::{Said, free_port, has};
use crate::common::site::Site;
use crate::proxies::Proxy;
use crate::web_servers::Web;

/// The time that good certificates are good for.
const GOOD: [&str; 2] = ["20200101000000Z", "20991231000000Z"];

/// An authority in a directory of its own, which signs certificates.
struct Authority {
    dir: PathBuf,
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

impl Authority {
    fn new(site: &Site, name: &str) -> Authority {
        let dir = site.path(name);
        fs::create_dir(&dir).unwrap();
        let make = |name: &str| {
            format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN={name}"
            )
        };
        openssl(&dir, &make(name));
        let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ncertificate = ca.pem\n\
                      private_key = ca.key\ndefault_md = sha256\npolicy = p\nunique_subject = no\n[p]\ncommonName = supplied\n";
        fs::write(dir.join("config"), config).unwrap();
        fs::write(dir.join("index"), "").unwrap();
        Authority { dir }
    }

    fn file(&self) -> String {
        self.dir.join("ca.pem").display().to_string()
    }

    /// Signs a certificate for a name, `IP:127.0.0.1`; returns the paths of certificate and key without their ends.
    fn sign(&self, file: &str, name: &str, [from, to]: [&str; 2]) -> String {
        openssl(
            &self.dir,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out {file}.csr -subj /CN={file}"
            ),
        );
        fs::write(
            self.dir.join("extensions"),
            format!("subjectAltName = {name}\n"),
        )
        .unwrap();
        openssl(
            &self.dir,
            &format!(
                "ca -batch -notext -config config -in {file}.csr -out {file}.pem -startdate {from} -enddate {to} -extfile extensions"
            ),
        );
        self.dir.join(file).display().to_string()
    }
}

/// Starts nginx for `/main/` with a certificate; the lines are added to its configuration. Returns its port too.
fn serve(site: &Site, certificate: &str, lines: &str) -> (Web, u16) {
    let port = free_port();
    let archive = site.path("archives/main");
    let rules = format!(
        "listen 127.0.0.1:{port} ssl;\nssl_certificate {certificate}.pem;\nssl_certificate_key {certificate}.key;\n{lines}\n\
         location /main/ {{ alias {}/; }}",
        archive.display()
    );
    (Web::start("nginx", site, &rules).unwrap(), port)
}

/// Returns a site whose archive `main` is to come over https; `None`, aloud, where a program is missing.
fn site() -> Option<Site> {
    (has("nginx") && has("openssl")).then(Site::new)
}

/// Sets the URI of `main`, and lines of its table.
fn configure(site: &Site, port: u16, lines: &str) {
    let file = format!("file://{}/main", site.path("archives").display());
    site.change_config(&file, &format!("https://127.0.0.1:{port}/main"));
    site.configure("pool = \"MAIN\"", &format!("pool = \"MAIN\"\n{lines}"));
}

/// Fetches, where the system trusts an authority.
fn fetch_trusting(site: &Site, authority: &str) -> Said {
    let mut command = site.command(&["fetch"]);
    command.env("SSL_CERT_FILE", authority);
    Said::of(&command.output().unwrap())
}

#[test]
fn an_authority_of_the_archive_counts_besides_those_of_the_system() {
    let Some(site) = site() else { return };
    let authority = Authority::new(&site, "inner");
    let other = Authority::new(&site, "other");
    let certificate = authority.sign("server", "IP:127.0.0.1", GOOD);
    let (_web, port) = serve(&site, &certificate, "");
    configure(&site, port, "");
    let refused = [
        "TLS with the server fails: no authority that is trusted here signed its certificate",
        "name the certificate of its authority in ca-file of the archive",
    ];
    site.run(&[]).expect(1, &refused);
    configure(&site, port, "ca-file = \"other/ca.pem\"");
    site.run(&[]).expect(1, &refused);
    fetch_trusting(&site, &authority.file()).expect(0, &[]);
    configure(
        &site,
        port,
        "ca-file = [\"other/ca.pem\", \"inner/ca.pem\"]",
    );
    fetch_trusting(&site, &other.file()).expect(0, &[]);
    site.aptmerge(&["config", "check"]).expect(0, &[]);
    site.run(&[]).expect(0, &[]);
}

#[test]
fn a_tunnel_through_a_proxy_leads_to_the_servers_own_certificate() {
    let Some(site) = site() else { return };
    let authority = Authority::new(&site, "inner");
    let certificate = authority.sign("server", "IP:127.0.0.1", GOOD);
    let (_web, port) = serve(&site, &certificate, "");
    let proxies = [
        Proxy::tinyproxy("BasicAuth robot S3CRET"),
        Proxy::squid(port),
    ];
    for proxy in proxies.into_iter().flatten() {
        let uri = proxy.uri().replace("//", "//robot:S3CRET@");
        let lines = format!("ca-file = \"inner/ca.pem\"\nproxy = \"{uri}\"");
        configure(&site, port, &lines);
        site.aptmerge(&["fetch"]).expect(0, &[]);
        proxy.expect(&format!("CONNECT 127.0.0.1:{port}"));
    }
}

#[test]
fn a_server_gets_the_certificate_that_it_wants() {
    let Some(site) = site() else { return };
    let authority = Authority::new(&site, "inner");
    let certificate = authority.sign("server", "IP:127.0.0.1", GOOD);
    authority.sign("client", "DNS:client.example", GOOD);
    let wants = format!(
        "ssl_client_certificate {};\nssl_verify_client on;",
        authority.file()
    );
    let (_web, port) = serve(&site, &certificate, &wants);
    configure(&site, port, "ca-file = \"inner/ca.pem\"");
    let words = [
        "status 400",
        "set client-certificate and client-key of the archive",
    ];
    site.run(&[]).expect(1, &words);
    let pair = "client-certificate = \"inner/client.pem\"\nclient-key = \"inner/client.key\"";
    configure(&site, port, &format!("ca-file = \"inner/ca.pem\"\n{pair}"));
    site.aptmerge(&["config", "check"]).expect(0, &[]);
    site.run(&[]).expect(0, &[]);
    // Both in one file, the key first.
    let both =
        ["inner/client.key", "inner/client.pem"].map(|file| fs::read(site.path(file)).unwrap());
    fs::write(site.path("both.pem"), both.concat()).unwrap();
    configure(
        &site,
        port,
        "ca-file = \"inner/ca.pem\"\nclient-certificate = \"both.pem\"",
    );
    site.aptmerge(&["fetch"]).expect(0, &[]);
}

/// The certificate says who we are, and is for the servers of the archive.
#[test]
fn another_server_does_not_get_our_certificate() {
    let Some(site) = site() else { return };
    let authority = Authority::new(&site, "inner");
    let certificate = authority.sign("server", "IP:127.0.0.1", GOOD);
    authority.sign("client", "DNS:client.example", GOOD);
    let curious = format!(
        "ssl_client_certificate {};\nssl_verify_client optional;\nif ($ssl_client_verify != NONE) {{ return 418; }}",
        authority.file()
    );
    let (_other, other_port) = serve(&site, &certificate, &curious);
    let pair = "client-certificate = \"inner/client.pem\"\nclient-key = \"inner/client.key\"";
    let lines = format!("ca-file = \"inner/ca.pem\"\n{pair}");
    configure(&site, other_port, &lines);
    site.run(&[]).expect(1, &["status 418"]);
    let leads = format!(
        "ssl_client_certificate {};\nssl_verify_client on;\nrewrite ^/main/(.*)$ https://127.0.0.1:{other_port}/main/$1 redirect;",
        authority.file()
    );
    let (_web, port) = serve(&site, &certificate, &leads);
    configure(&site, port, &lines);
    site.run(&[]).expect(0, &[]);
}

#[test]
fn a_certificate_that_does_not_hold_is_refused_with_the_reason() {
    let Some(site) = site() else { return };
    let authority = Authority::new(&site, "inner");
    let past = ["20200101000000Z", "20200102000000Z"];
    let future = ["20980101000000Z", "20991231000000Z"];
    for (name, time, words) in [
        (
            "IP:127.0.0.1",
            past,
            [
                "its certificate has expired",
                "look at the clock of this machine",
            ],
        ),
        (
            "IP:127.0.0.1",
            future,
            [
                "its certificate is not valid yet",
                "look at the clock of this machine",
            ],
        ),
        (
            "DNS:other.example",
            GOOD,
            ["its certificate is for another host", "other.example"],
        ),
    ] {
        let certificate = authority.sign("server", name, time);
        let (_web, port) = serve(&site, &certificate, "");
        configure(&site, port, "ca-file = \"inner/ca.pem\"");
        site.run(&[]).expect(1, &words);
    }
}

/// apt takes a certificate that says that it is an authority's from a server too; the library of TLS does not, and offers no choice.
#[test]
fn a_certificate_signed_by_itself_has_to_be_a_servers() {
    let Some(site) = site() else { return };
    for (basic, code, words) in [
        (
            "TRUE",
            1,
            &[
                "its certificate is that of an authority",
                "basicConstraints CA:FALSE",
            ][..],
        ),
        ("FALSE", 0, &[]),
    ] {
        openssl(
            site.dir(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.pem -days 3650 -subj /CN=self \
                 -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:{basic}"
            ),
        );
        let (_web, port) = serve(&site, &site.path("self").display().to_string(), "");
        configure(&site, port, "ca-file = \"self.pem\"");
        site.run(&[]).expect(code, words);
    }
}

#[test]
fn a_server_without_tls_is_told_from_one_with_a_bad_certificate() {
    let Some(site) = site() else { return };
    let web = Web::start("nginx", &site, "").unwrap();
    configure(&site, web.port, "");
    site.run(&[]).expect(
        1,
        &[
            "it does not speak TLS at this port",
            "check scheme and port",
        ],
    );
}

#[test]
fn files_that_cannot_be_used_cost_their_archive_and_are_found_by_a_check() {
    let Some(site) = site() else { return };
    site.run(&[]).expect(0, &[]);
    let authority = Authority::new(&site, "inner");
    authority.sign("one", "DNS:one.example", GOOD);
    authority.sign("two", "DNS:two.example", GOOD);
    openssl(
        site.dir(),
        "pkey -in inner/one.key -aes256 -passout pass:secret -out locked.key",
    );
    openssl(
        site.dir(),
        "x509 -in inner/one.pem -outform der -out one.der",
    );
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(site.path("garbage.pem"), garbage).unwrap();
    let one = "client-certificate = \"inner/one.pem\"\nclient-key";
    for (lines, words) in [
        (
            "ca-file = \"missing.pem\"".to_owned(),
            ["missing.pem cannot be read", "must be able to read it"],
        ),
        (
            "ca-file = \"fifo\"".to_owned(),
            ["fifo cannot be read", "no regular file"],
        ),
        (
            "ca-file = \"one.der\"".to_owned(),
            ["one.der has no certificate in PEM form", "-inform der"],
        ),
        (
            "ca-file = \"garbage.pem\"".to_owned(),
            [
                "garbage.pem has a certificate that cannot be used",
                "garbage.pem",
            ],
        ),
        (
            "client-certificate = \"inner/one.pem\"".to_owned(),
            ["one.pem has no private key", "set client-key"],
        ),
        (
            format!("{one} = \"inner/two.key\""),
            ["two.key cannot be used together", "inner/one.pem"],
        ),
        (
            format!("{one} = \"locked.key\""),
            [
                "locked.key has no private key in PEM form without a passphrase",
                "openssl pkey",
            ],
        ),
    ] {
        site.change_config("pool = \"MAIN\"", &format!("pool = \"MAIN\"\n{lines}"));
        let checked = site.aptmerge(&["config", "check"]);
        assert_eq!(checked.code, Some(78), "{lines}");
        for word in words {
            assert!(checked.stdout.contains(word), "{word}: {}", checked.stdout);
        }
        site.run(&[])
            .expect(3, &[&["stays at its last good copy"], &words[..]].concat());
    }
    let lonely = "pool = \"MAIN\"\nclient-key = \"inner/one.key\"";
    site.change_config("pool = \"MAIN\"", lonely);
    site.run(&[]).expect(
        78,
        &["archives.main.client-key: there is no certificate for it"],
    );
}
