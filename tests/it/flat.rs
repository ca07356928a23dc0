//! Flat archives: the real apt reads them and our merged tree alike, whoever made them and wherever they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use aptmerge::openpgp::Signer;

use crate::common::apt::{Apt, field, sha256, succeeded};
use crate::common::programs::has;
use crate::common::site::{Site, files};
use crate::common::upstream::{gz, stanza, sums};
use crate::common::web::Mirror;
use crate::web_servers::Web;

/// Builds a package of a name and an architecture into a directory.
fn deb(place: &Path, name: &str, architecture: &str) {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("DEBIAN/control");
    fs::create_dir_all(control.parent().unwrap()).unwrap();
    fs::create_dir_all(place).unwrap();
    let text = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: {architecture}\nMaintainer: A <a@site.example>\nDescription: {name}\n"
    );
    fs::write(control, text).unwrap();
    let file = place.join(format!("{name}_1.0_{architecture}.deb"));
    let mut build = Command::new("dpkg-deb");
    build
        .args(["--root-owner-group", "--build"])
        .arg(dir.path())
        .arg(file);
    succeeded(&build.output().unwrap(), &["dpkg-deb"]);
}

/// Builds a source package into a directory.
fn source(place: &Path, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join(format!("{name}-1.0"));
    for (path, text) in [
        ("debian/source/format", "3.0 (native)\n".to_owned()),
        (
            "debian/changelog",
            format!(
                "{name} (1.0) unstable; urgency=low\n\n  * x\n\n -- A <a@site.example>  Thu, 01 Jan 2026 00:00:00 +0000\n"
            ),
        ),
        (
            "debian/control",
            format!(
                "Source: {name}\nMaintainer: A <a@site.example>\nStandards-Version: 4.0\n\nPackage: {name}\nArchitecture: any\nDescription: x\n"
            ),
        ),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut build = Command::new("dpkg-source");
    build.arg("--build").arg(&tree).current_dir(dir.path());
    succeeded(&build.output().unwrap(), &["dpkg-source"]);
    for file in files(dir.path())
        .into_iter()
        .filter(|file| file.parent() == Some(dir.path()))
    {
        if file.is_file() {
            fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
        }
    }
}

/// Runs a program of Debian in a directory; returns what it wrote.
fn made(root: &Path, program: &[&str]) -> String {
    let output = Command::new(program[0])
        .args(&program[1..])
        .current_dir(root)
        .output();
    succeeded(&output.unwrap(), program)
}

/// Writes Release and InRelease of a directory, signed now.
fn sign(site: &Site, dir: &Path, release: &str) {
    let key = site.path("keys/main.secret.asc");
    let signer = Signer::key_files(&[key]).unwrap();
    let signed = signer.sign(release.as_bytes(), SystemTime::now()).unwrap();
    fs::write(dir.join("Release"), release).unwrap();
    fs::write(dir.join("Release.gpg"), signed.detached).unwrap();
    fs::write(dir.join("InRelease"), signed.inline).unwrap();
}

/// A tool that makes flat archives: the commands that write Packages and Sources of a directory.
struct Tool([&'static [&'static str]; 2]);

const DPKG: Tool = Tool([
    &["dpkg-scanpackages", "--multiversion"],
    &["dpkg-scansources"],
]);
const APT: Tool = Tool([
    &["apt-ftparchive", "packages"],
    &["apt-ftparchive", "sources"],
]);

/// Makes a flat archive in a directory below its root: packages of two architectures and for all, and a source.
fn vendor(site: &Site, tool: &Tool, place: &str) -> PathBuf {
    let root = site.path("archives/vendor");
    fs::create_dir_all(&root).unwrap();
    let dir = root.join(place);
    deb(&dir, "hello", "amd64");
    deb(&dir, "hello", "arm64");
    deb(&dir, "data", "all");
    deb(&dir.join("pool/sub"), "deep", "amd64");
    source(&dir, "hello");
    for (index, command) in ["Packages", "Sources"].iter().zip(tool.0) {
        let text = made(&root, &[command, &[place]].concat());
        fs::write(dir.join(index), &text).unwrap();
        fs::write(dir.join(format!("{index}.gz")), gz(text.as_bytes())).unwrap();
    }
    let _ = fs::remove_file(dir.join("Release"));
    let release = made(&dir, &["apt-ftparchive", "release", "."]);
    sign(site, &dir, &release);
    dir
}

/// Returns a site with the vendor's archive at a URI, beside nothing else.
fn site_of(uri: &str, flat: &str) -> Site {
    let site = Site::bare();
    configure(&site, uri, flat);
    site
}

fn configure(site: &Site, uri: &str, flat: &str) {
    site.write_config(&format!(
        "root = \"site\"\npriority = [\"vendor\"]\ncomponents = [\"main\", \"extra\"]\narchitectures = [\"all\", \"amd64\", \"arm64\"]\n\
         [archives.vendor]\npool = \"VENDOR\"\nuris = [\"{uri}\"]\nsigned-by = \"keys/main.gpg\"\n\
         [archives.vendor.suites.tools]\nflat = \"{flat}\"\ncomponent = \"extra\"\n\
         [suites.bookworm]\nfrom = {{ vendor = \"tools\" }}\nrelease = {{ Suite = \"bookworm\" }}\n\
         [signing]\nkey-file = \"keys/publish-a.secret.asc\"\n\
         [fetch]\nretries = 0\nrestarts = 0\nbackoff = \"0 seconds\"\n"
    ));
}

/// The packages and the source as apt gets them: the names of files, with their digests.
fn got(sources: &str) -> BTreeMap<String, String> {
    let apt = Apt::new(&["amd64", "arm64"], sources, "");
    // apt warns that a Release without a name is no Release of that directory.
    let update = apt.call("apt-get", &["update"]);
    succeeded(&update, &["apt-get update"]);
    apt.ok(
        "apt-get",
        &["download", "hello", "hello:arm64", "data", "deep"],
    );
    apt.ok("apt-get", &["source", "--download-only", "hello"]);
    let files = fs::read_dir(apt.path("downloads")).unwrap();
    let files = files.map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, sha256(&fs::read(entry.path()).unwrap()))
    });
    files.collect()
}

fn lines(site: &Site, key: &str, place: &str) -> String {
    let key = site.path(format!("keys/{key}.gpg"));
    let key = key.display();
    ["deb", "deb-src"]
        .map(|kind| format!("{kind} [signed-by={key}] {place}\n"))
        .concat()
}

fn has_tools() -> bool {
    [
        "apt-get",
        "apt-ftparchive",
        "dpkg-scanpackages",
        "dpkg-source",
    ]
    .iter()
    .all(|tool| has(tool))
}

#[test]
fn apt_gets_the_same_of_a_flat_archive_and_of_ours() {
    if !has_tools() {
        return;
    }
    for (tool, place, flat, line) in [
        (&DPKG, ".", "./", "./"),
        (
            &DPKG,
            "debian12/x86_64",
            "debian12/x86_64/",
            "debian12/x86_64/",
        ),
        (&APT, ".", "/", "/"),
        (&APT, "core/deb", "core/deb", "core/deb/"),
    ] {
        let site = Site::bare();
        vendor(&site, tool, place);
        let mirror = Mirror::of(&site.path("archives/vendor"));
        let theirs = got(&lines(&site, "main", &format!("{} {line}", mirror.uri())));
        assert_eq!(theirs.len(), 6, "{theirs:?}");
        // Over HTTP: redirects lead back. From disk: links in the pool do.
        configure(&site, &mirror.uri(), flat);
        site.ok(&["run"]);
        let server = site.serve();
        let web = ["nginx", "apache"].map(|server| {
            let rules = site.ok(&["config", "redirects", server]);
            Web::start(server, &site, &rules)
        });
        let addresses = web.iter().flatten().map(Web::address);
        let urls = addresses.map(|address| format!("http://{address}/merged"));
        let suite = "bookworm extra";
        for url in urls.chain([server.url()]) {
            let ours = got(&lines(&site, "publish", &format!("{url} {suite}")));
            assert_eq!(ours, theirs, "{place} {url}");
        }
        let local = site.path("archives/vendor");
        configure(&site, &format!("file://{}", local.display()), flat);
        site.ok(&["run"]);
        assert!(site.ok(&["verify"]).contains("it holds"));
        let tree = format!("file:{}", site.merged("").display());
        let ours = got(&lines(&site, "publish", &format!("{tree} {suite}")));
        assert_eq!(ours, theirs, "{place}");
    }
}

/// Writes a flat archive by hand: its files, and a Release that lists them and begins with these fields.
fn write(site: &Site, fields: &str, texts: &[(&str, String)]) {
    let dir = site.path("archives/vendor");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let texts: BTreeMap<_, _> = texts
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.clone()))
        .collect();
    for (path, text) in &texts {
        fs::write(dir.join(path), text).unwrap();
    }
    sign(site, &dir, &format!("{fields}SHA256:\n{}", sums(&texts)));
}

fn date(seconds_ago: u64) -> String {
    let time = SystemTime::now() - Duration::from_secs(seconds_ago);
    let time = jiff::Timestamp::try_from(time).unwrap();
    format!("Date: {}\n", time.strftime("%a, %d %b %Y %H:%M:%S UTC"))
}

/// Returns a stanza whose file lies beside the Release.
fn beside(name: &str, architecture: &str) -> String {
    let text = stanza(name).replace(
        "Architecture: amd64",
        &format!("Architecture: {architecture}"),
    );
    text.replace("pool/main/", "./") + "\n"
}

fn local(site: &Site) -> String {
    format!("file://{}", site.path("archives/vendor").display())
}

fn names(site: &Site, index: &str) -> Vec<String> {
    let stanzas = site.stanzas(&format!("dists/bookworm/{index}"));
    stanzas
        .iter()
        .map(|s| field(s, "Package").unwrap().to_owned())
        .collect()
}

#[test]
fn an_index_of_each_architecture_is_cut_out_of_one_file() {
    let site = site_of("file:///nowhere", "./");
    configure(&site, &local(&site), "./");
    let texts = |more: &str| {
        let packages = ["amd64", "arm64", "all", "riscv64"].map(|a| beside(&format!("on-{a}"), a));
        let broken = beside("on-amd64-too", "amd64");
        [("Packages", packages.concat() + &broken + more)]
    };
    write(&site, &date(60), &texts(""));
    let said = site.run(&["-v"]);
    said.expect(0, &["no archive of it has the component `main`"]);
    assert!(
        !said.stderr.contains("other architectures"),
        "{}",
        said.stderr
    );
    assert_eq!(
        names(&site, "extra/binary-amd64/Packages"),
        ["on-all", "on-amd64", "on-amd64-too"]
    );
    assert_eq!(
        names(&site, "extra/binary-arm64/Packages"),
        ["on-all", "on-arm64"]
    );
    assert_eq!(names(&site, "extra/binary-all/Packages"), ["on-all"]);
    assert_eq!(names(&site, "main/binary-amd64/Packages").len(), 0);
    let path = field(
        &site.stanzas("dists/bookworm/extra/binary-arm64/Packages")[1],
        "Filename",
    )
    .map(str::to_owned);
    assert_eq!(path.unwrap(), "pool/VENDOR/_/on-arm64_1.0_amd64.deb");
    site.run_without_news(&[]);
    let said = site.ok(&["explain", "on-arm64"]);
    assert!(
        said.contains("arm64: from vendor") && said.contains("1.0 of vendor (extra)"),
        "{said}"
    );
    assert!(
        said.contains("pool/VENDOR/_/on-arm64_1.0_amd64.deb"),
        "{said}"
    );

    // A change for one architecture alone.
    write(&site, &date(50), &texts(&beside("late", "arm64")));
    site.ok(&["run"]);
    assert_eq!(
        names(&site, "extra/binary-arm64/Packages"),
        ["late", "on-all", "on-arm64"]
    );
    assert_eq!(names(&site, "extra/binary-amd64/Packages").len(), 3);

    // Messages name the file and the line that the archive has.
    let odd = beside("odd", "arm64").replace("Description: x", "Depends: a b\nDescription: x");
    let latin = beside("latin", "amd64").replace("Description: x", "Description: \u{e4}");
    write(&site, &date(40), &texts(&(odd + &latin)));
    let path = site.path("archives/vendor/Packages");
    let bytes = fs::read_to_string(&path).unwrap();
    let line = bytes
        .lines()
        .position(|line| line.contains('\u{e4}'))
        .unwrap()
        + 1;
    let bytes: Vec<u8> = bytes
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    fs::write(&path, &bytes).unwrap();
    let release = format!(
        "{}SHA256:\n {} {} Packages\n",
        date(40),
        sha256(&bytes),
        bytes.len()
    );
    sign(&site, path.parent().unwrap(), &release);
    let said = site.run(&[]);
    said.expect(
        0,
        &[
            "`odd` 1.0",
            &format!("vendor tools Packages, line {line}: "),
        ],
    );
}

#[test]
fn what_apt_looks_for_beside_a_flat_release_is_merged_too() {
    let site = site_of("file:///nowhere", "./");
    configure(&site, &local(&site), "./");
    site.configure("[archives.vendor]\n", "indices = [\"packages\", \"sources\", \"contents\", \"translations\"]\n[archives.vendor]\n");
    let md5 = {
        use md5::Digest;
        hex::encode(md5::Md5::digest(b"x\n"))
    };
    let sources = "Package: tool\nVersion: 1.0\nArchitecture: any\nDirectory: .\nFormat: 1.0\nFiles:\n 00000000000000000000000000000000 1 tool_1.0.dsc\n\n";
    let texts = [
        ("Packages", beside("tool", "amd64")),
        ("Sources", sources.to_owned()),
        (
            "Contents-amd64",
            "usr/bin/tool devel/tool,devel/other\n".to_owned(),
        ),
        ("Contents-i386", "usr/bin/tool devel/tool\n".to_owned()),
        (
            "de",
            format!("Package: tool\nDescription-md5: {md5}\nDescription-de: Werkzeug\n\n"),
        ),
        ("key.asc", "no index".to_owned()),
    ];
    write(
        &site,
        &(date(60) + "Suite: whatever\nArchitectures: amd64\n"),
        &texts,
    );
    site.ok(&["run"]);
    let index = |index: &str| site.index(&format!("dists/bookworm/extra/{index}"));
    assert!(index("source/Sources").contains("Directory: pool/VENDOR/_/.\n"));
    let line = index("Contents-amd64");
    assert_eq!(
        line.split_ascii_whitespace().collect::<Vec<_>>(),
        ["usr/bin/tool", "devel/tool"]
    );
    assert!(index("i18n/Translation-de").contains("Description-de: Werkzeug"));
    assert!(
        !site
            .merged("dists/bookworm/extra/Contents-i386.gz")
            .exists()
    );
}

#[test]
fn architectures_narrow_a_flat_archive() {
    let names_of = |lines: &str| {
        let site = Site::bare();
        configure(&site, &local(&site), ".");
        site.configure(
            "[archives.vendor.suites.tools]",
            &format!("{lines}\n[archives.vendor.suites.tools]"),
        );
        let packages = ["amd64", "arm64", "all"].map(|a| beside(&format!("on-{a}"), a));
        write(&site, &date(60), &[("Packages", packages.concat())]);
        site.ok(&["run"]);
        ["amd64", "arm64"].map(|a| names(&site, &format!("extra/binary-{a}/Packages")).join(" "))
    };
    assert_eq!(names_of(""), ["on-all on-amd64", "on-all on-arm64"]);
    assert_eq!(
        names_of("architectures = [\"amd64\"]"),
        ["on-all on-amd64", ""]
    );
    assert_eq!(names_of("architectures = [\"all\"]"), ["on-all", "on-all"]);
    assert_eq!(
        names_of("architectures = [\"all\", \"arm64\"]"),
        ["on-all", "on-all on-arm64"]
    );
}

#[test]
fn a_flat_archive_is_believed_no_more_than_another() {
    let site = Site::bare();
    configure(&site, &local(&site), "./");
    let dir = site.path("archives/vendor");
    let texts = [("Packages", beside("tool", "amd64"))];
    // Unsigned, without anything that is merged, or with another text than the signed one.
    write(&site, &date(60), &texts);
    fs::remove_file(dir.join("InRelease")).unwrap();
    fs::remove_file(dir.join("Release.gpg")).unwrap();
    site.run(&[]).expect(1, &["archives/vendor"]);
    write(&site, &date(60), &[("Other", String::new())]);
    site.run(&[]).expect(1, &["lists none of the indices"]);
    write(&site, &date(60), &texts);
    fs::write(dir.join("Packages"), beside("fool", "amd64")).unwrap();
    site.run(&[]).expect(1, &["vendor/Packages"]);
    write(&site, &date(60), &texts);
    site.ok(&["run"]);
    // No way back, and no other name than the one that is expected.
    write(&site, &date(600), &texts);
    site.run(&[]).expect(3, &["older"]);
    site.configure(
        "component = \"extra\"",
        "component = \"extra\"\ncalled = \"jammy\"",
    );
    write(&site, &(date(30) + "Suite: focal\n"), &texts);
    site.run(&[]).expect(3, &["focal"]);
    write(&site, &(date(30) + "Suite: jammy\n"), &texts);
    site.ok(&["run"]);
    // A path that leads out.
    let out = beside("out", "amd64").replace("./out", "../out") + &beside("tool", "amd64");
    write(&site, &(date(20) + "Suite: jammy\n"), &[("Packages", out)]);
    let said = site.run(&[]);
    assert!(said.stderr.contains("climbs"), "{said:?}");
    assert!(
        !site
            .index("dists/bookworm/extra/binary-amd64/Packages")
            .contains("..")
    );

    // Damage of the spool is found when the object is read, and mended by the next run.
    write(
        &site,
        &(date(10) + "Suite: jammy\n"),
        &[(
            "Packages",
            beside("tool", "amd64") + &beside("more", "amd64"),
        )],
    );
    site.ok(&["fetch"]);
    let objects: BTreeSet<PathBuf> = files(&site.root().join("spool/objects"))
        .into_iter()
        .filter(|f| f.is_file())
        .collect();
    let text = zstd::encode_all(beside("evil", "amd64").as_bytes(), 3).unwrap();
    objects
        .iter()
        .for_each(|object| fs::write(object, &text).unwrap());
    let said = site.aptmerge(&["publish"]);
    assert_ne!(said.code, Some(0), "{said:?}");
    assert_eq!(names(&site, "extra/binary-amd64/Packages"), ["tool"]);
    site.ok(&["run"]);
    assert_eq!(
        names(&site, "extra/binary-amd64/Packages"),
        ["more", "tool"]
    );
}

#[test]
fn another_directory_is_another_archive() {
    let site = Site::bare();
    configure(&site, &local(&site), "./");
    write(&site, &date(60), &[("Packages", beside("tool", "amd64"))]);
    site.ok(&["run"]);
    let (from, to) = (
        site.path("archives/vendor"),
        site.path("archives/vendor/old"),
    );
    fs::create_dir(&to).unwrap();
    for file in ["Packages", "InRelease", "Release", "Release.gpg"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let texts: BTreeMap<_, _> = [("Packages".to_owned(), beside("older", "amd64"))].into();
    fs::write(to.join("Packages"), &texts["Packages"]).unwrap();
    sign(
        &site,
        &to,
        &format!("{}SHA256:\n{}", date(6000), sums(&texts)),
    );
    site.configure("flat = \"./\"", "flat = \"old/\"");
    // A file of the first is no copy of the second.
    site.expect(3, &["publish"]);
    site.ok(&["run", "--allow-shrink"]);
    assert_eq!(names(&site, "extra/binary-amd64/Packages"), ["older"]);
}
