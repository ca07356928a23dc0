//! Tests with packages that dpkg-deb and dpkg-source make, and with packages that nobody should make.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const CONTROL: &str = "Package: hello\nVersion: 1:2.0-1\nArchitecture: amd64\nMaintainer: A <a@b.example>\nSource: hello-src (2.0-1)\n\
Depends: libc6 (>= 2.3)\nDescription: short\n long\n";

/// Runs a program; returns its output.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// Returns whether programs are there; says which one is not.
fn have(programs: &[&str]) -> bool {
    let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let missing = programs.iter().find(|program| !is_there(program));
    if let Some(program) = missing {
        assert!(
            std::env::var_os("APTMERGE_SKIP_NOTHING").is_none(),
            "no {program}"
        );
        eprintln!("skipped: no {program}");
    }
    missing.is_none()
}

/// Makes a tree with a control file and files of every kind that a package has.
fn tree(dir: &Path, control: &str) -> std::path::PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let long = format!("usr/share/hello/{}", "long/".repeat(30));
    for dir in ["usr/bin", "usr/share/empty", &long] {
        fs::create_dir_all(tree.join(dir)).unwrap();
    }
    fs::write(tree.join("usr/bin/hello"), "x".repeat(10_000)).unwrap();
    fs::write(tree.join(&long).join("é with blanks"), "").unwrap();
    fs::hard_link(tree.join("usr/bin/hello"), tree.join("usr/bin/hi")).unwrap();
    std::os::unix::fs::symlink("hello", tree.join("usr/bin/link")).unwrap();
    tree
}

fn read_file(path: &Path) -> crate::error::Result<Binary> {
    read_binary(fs::File::open(path).unwrap(), path, Kind::Binary)
}

#[test]
fn packages_of_dpkg_deb_are_read_in_every_compression() {
    if !have(&["dpkg-deb", "ar", "bzip2", "xz", "tar"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let tree = tree(dir.path(), CONTROL);
    let mut files = Vec::new();
    for compression in ["none", "gzip", "xz", "zstd"] {
        for uniform in ["--uniform-compression", "--no-uniform-compression"] {
            let file = dir.path().join(format!("{compression}{uniform}.deb"));
            output(
                Command::new("dpkg-deb")
                    .args([
                        "--root-owner-group",
                        uniform,
                        &format!("-Z{compression}"),
                        "-b",
                    ])
                    .args([&tree, &file]),
            );
            files.push(file);
        }
    }
    // dpkg-deb reads these two and makes them no more.
    for (tool, end) in [(&["bzip2"][..], "bz2"), (&["xz", "--format=lzma"], "lzma")] {
        let parts = dir.path().join(end);
        fs::create_dir(&parts).unwrap();
        let plain = dir.path().join("none--uniform-compression.deb");
        output(Command::new("ar").arg("x").arg(&plain).current_dir(&parts));
        let tars = ["control.tar", "data.tar"];
        output(
            Command::new(tool[0])
                .args(&tool[1..])
                .arg("-k")
                .args(tars)
                .current_dir(&parts),
        );
        // dpkg-deb takes them for data.tar alone; other programs took them for both.
        let [control, packed, data] = [
            "control.tar".to_owned(),
            format!("control.tar.{end}"),
            format!("data.tar.{end}"),
        ];
        let part = |name: &str| fs::read(parts.join(name)).unwrap();
        for (name, control) in [("data", &control), ("both", &packed)] {
            let file = dir.path().join(format!("{end}-{name}.deb"));
            fs::write(&file, deb((control, &part(control)), (&data, &part(&data)))).unwrap();
            files.push(file);
        }
        output(
            Command::new("dpkg-deb")
                .arg("-I")
                .arg(&files[files.len() - 2]),
        );
    }
    // tar lists what dpkg unpacks.
    let mut tar = Command::new("sh");
    let script = "dpkg-deb --fsys-tarfile \"$0\" | tar -t --quoting-style=literal";
    tar.args(["-c", script]).arg(&files[0]);
    let listed = String::from_utf8(output(&mut tar)).unwrap();
    let paths = listed.lines().filter(|path| !path.ends_with('/'));
    let listed: BTreeSet<Vec<u8>> = paths
        .map(|path| path.trim_start_matches("./").as_bytes().to_vec())
        .collect();
    assert_eq!(listed.len(), 4);
    for file in &files {
        let binary = read_file(file).unwrap();
        let shown = file.display();
        assert_eq!(String::from_utf8_lossy(&binary.stanza), CONTROL, "{shown}");
        let identity = &binary.identity;
        assert_eq!(identity.source.as_str(), "hello-src", "{shown}");
        assert_eq!(identity.source_version, "2.0-1", "{shown}");
        assert_eq!(binary.contents, listed, "{shown}");
    }
    assert_eq!(files.len(), 12);
}

#[test]
fn sources_of_dpkg_source_are_read() {
    if !have(&["dpkg-source", "dpkg-buildpackage", "dpkg-genchanges"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let tree = dir.path().join("hello-2.0");
    fs::create_dir_all(tree.join("debian/source")).unwrap();
    let rules = "#!/bin/sh\ncase $1 in binary*) mkdir -p debian/hello/DEBIAN && dpkg-gencontrol -phello -Pdebian/hello \
&& dpkg-deb -b debian/hello .. ;; esac\n";
    for (name, text) in [
        (
            "debian/control",
            "Source: hello\nMaintainer: A <a@b.example>\nStandards-Version: 4.6.2\n\nPackage: hello\nArchitecture: all\nDescription: short\n",
        ),
        (
            "debian/changelog",
            "hello (2.0) unstable; urgency=low\n\n  * Begin.\n\n -- A <a@b.example>  Thu, 01 Jan 2026 00:00:00 +0000\n",
        ),
        ("debian/source/format", "3.0 (native)\n"),
        ("debian/rules", rules),
    ] {
        fs::write(tree.join(name), text).unwrap();
    }
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tree.join("debian/rules"), executable).unwrap();
    output(
        Command::new("dpkg-buildpackage")
            .args(["-us", "-uc", "-d"])
            .current_dir(&tree),
    );

    let open = |name: &str| fs::File::open(dir.path().join(name)).unwrap();
    let names = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let with_end = |end: &str| names.iter().find(|name| name.ends_with(end)).unwrap();

    let dsc = with_end(".dsc");
    let source = read_source(open(dsc), Path::new(dsc), Trust::Operator).unwrap();
    assert_eq!(
        (
            source.identity.name.as_str(),
            source.identity.version.as_str()
        ),
        ("hello", "2.0")
    );
    assert!(
        source
            .stanza
            .windows(16)
            .any(|w| w == b"\nPackage: hello\n")
    );
    let [tar] = &source.files[..] else {
        panic!("{:?}", source.files)
    };
    assert!(tar.name.starts_with("hello_2.0.tar"));
    assert!(tar.md5.is_some() && tar.sha1.is_some() && tar.sha256.is_some());
    assert_eq!(tar.size, open(&tar.name).metadata().unwrap().len());

    let deb = with_end(".deb");
    let binary = read_binary(open(deb), Path::new(deb), Kind::Binary).unwrap();
    assert_eq!(binary.identity.architecture, "all");

    for (end, architectures) in [
        (".changes", vec!["source", "all"]),
        (".buildinfo", vec!["all", "source"]),
    ] {
        let name = with_end(end);
        let changes = read_changes(open(name), Path::new(name), Trust::Operator).unwrap();
        assert_eq!(changes.source.as_str(), "hello");
        assert_eq!(changes.architectures, architectures, "{end}");
        assert_eq!(changes.binaries, ["hello"]);
        for file in &changes.files {
            let mut bytes = Vec::new();
            open(&file.name).read_to_end(&mut bytes).unwrap();
            let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
            assert_eq!(file.sha256, Some(digest), "{}", file.name);
        }
        assert!(changes.files.iter().any(|file| &file.name == deb));
    }
}

#[test]
fn keys_are_those_of_aptly() {
    let dir = TempDir::new().unwrap();
    if !have(&["aptly"]) {
        return;
    }
    let deb = dir.path().join("hello.deb");
    let data = tar(&[("./usr/bin/x", b"x")]);
    let bytes = super::tests::deb(("control.tar", &control_tar()), ("data.tar", &data));
    fs::write(&deb, &bytes).unwrap();
    let config = dir.path().join("aptly.conf");
    let root = dir.path().join("root");
    fs::write(&config, format!("{{\"rootDir\": {root:?}}}")).unwrap();
    let aptly = || {
        let mut aptly = Command::new("aptly");
        aptly.arg(format!("-config={}", config.display()));
        aptly
    };
    output(aptly().args(["repo", "create", "all"]));
    output(aptly().args(["repo", "add", "all"]).arg(&deb));
    let key = output(aptly().args(["package", "search", "-format", "{{.Key}}", "hello"]));

    use md5::Digest as _;
    let file = PackageFile {
        name: "hello.deb".to_owned(),
        size: bytes.len() as u64,
        md5: Some(md5::Md5::digest(&bytes).into()),
        sha1: Some(sha1::Sha1::digest(&bytes).into()),
        sha256: sha2::Sha256::digest(&bytes).into(),
        sha512: None,
    };
    let ours = format!("Pamd64 hello 1:2.0-1 {:016x}", files_hash(&[file]));
    assert_eq!(String::from_utf8_lossy(&key).trim(), ours);
}

#[test]
fn only_a_signature_of_the_keyring_counts() {
    let unsigned = b"Source: a\nVersion: 1\n";
    let keyring =
        crate::openpgp::Keyring::from_bytes(include_bytes!("../../fixtures/keys/security.gpg"));
    let keyring = keyring.unwrap();
    let trust = Trust::Keyring(&keyring, std::time::SystemTime::UNIX_EPOCH);
    let error = read_changes(&unsigned[..], Path::new("a.changes"), trust).unwrap_err();
    assert!(
        error.to_string().starts_with("a.changes is refused: "),
        "{error}"
    );
}

/// Adds a member to an archive of ar(1).
fn member(deb: &mut Vec<u8>, name: &str, data: &[u8]) {
    writeln!(deb, "{name:<16}{:<32}{:<10}`", 0, data.len()).unwrap();
    deb.extend_from_slice(data);
    deb.extend(b"\n".iter().take(data.len() % 2));
}

/// Makes a package of two members after `debian-binary`.
fn deb(control: (&str, &[u8]), data: (&str, &[u8])) -> Vec<u8> {
    let mut deb = b"!<arch>\n".to_vec();
    member(&mut deb, "debian-binary", b"2.0\n");
    member(&mut deb, control.0, control.1);
    member(&mut deb, data.0, data.1);
    deb
}

/// Makes a tar archive: paths as they are given, and contents.
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    for (path, data) in entries {
        let mut header = ::tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, *data).unwrap();
    }
    tar.into_inner().unwrap()
}

fn control_tar() -> Vec<u8> {
    tar(&[("./control", CONTROL.as_bytes())])
}

fn why(deb: &[u8]) -> String {
    match read_binary(deb, Path::new("x.deb"), Kind::Binary) {
        Ok(_) => "it was taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_not_a_package_is_refused_with_file_and_reason() {
    let (control, data) = (control_tar(), tar(&[("./usr/bin/x", b"x")]));
    let good = deb(("control.tar", &control), ("data.tar", &data));
    assert_eq!(
        read_binary(&good[..], Path::new("x.deb"), Kind::Binary)
            .unwrap()
            .contents
            .len(),
        1
    );
    let two = tar(&[
        ("control", CONTROL.as_bytes()),
        ("./control", CONTROL.as_bytes()),
    ]);
    let huge = tar(&[("control", &vec![b'a'; 2 << 20])]);
    let long = tar(&[(
        "control",
        format!("{CONTROL}X: {}\n", "y".repeat(950_000)).as_bytes(),
    )]);
    let climbs = tar(&[("./usr/../../etc/passwd", b"x")]);
    let lines = tar(&[("./usr/a\nb", b"x")]);
    for (bytes, words) in [
        (b"".to_vec(), "no archive of ar"),
        (b"#!/bin/sh\n".to_vec(), "no archive of ar"),
        (good[..good.len() - 700].to_vec(), "ends too early"),
        (good[..20].to_vec(), "ends inside of the header of a member"),
        (
            deb(("data.tar", &data), ("control.tar", &control)),
            "`data.tar` stands where `control.tar` belongs",
        ),
        (
            deb(("control.tar.Z", &control), ("data.tar", &data)),
            "`control.tar.Z` stands where",
        ),
        (
            deb(("../control.tar", &control), ("data.tar", &data)),
            "stands where",
        ),
        (
            deb(("control.tar.xz", &control), ("data.tar", &data)),
            "not valid xz data",
        ),
        (
            deb(("control.tar", &data), ("data.tar", &data)),
            "control.tar: it has no control file",
        ),
        (
            deb(("control.tar", &two), ("data.tar", &data)),
            "two control files",
        ),
        (
            deb(("control.tar", &huge), ("data.tar", &data)),
            "more than 1048576 bytes",
        ),
        (
            deb(("control.tar", &long), ("data.tar", &data)),
            "more than 900000 bytes",
        ),
        (
            deb(("control.tar", &control), ("data.tar", &climbs)),
            "`usr/../../etc/passwd` climbs",
        ),
        (
            deb(("control.tar", &control), ("data.tar", &lines)),
            "a path has a line break",
        ),
        (
            deb(("control.tar", &control), ("data.tar", &data[..600])),
            "data.tar: ",
        ),
        (
            deb(("control.tar", &control), ("control.tar", &control)),
            "`control.tar` stands where `data.tar` belongs",
        ),
    ] {
        let why = why(&bytes);
        assert!(why.starts_with("x.deb is refused: "), "{why}");
        assert!(why.contains(words), "{words}: {why}");
    }
    for (from, to) in [
        ("Package: hello", "Package: ../hello"),
        ("Version: 1:2.0-1", "Version: 1/../../2"),
        ("Version: 1:2.0-1", "Architecture: all"),
        ("Architecture: amd64", "Architecture: ../all"),
        ("Depends: libc6", "Depends: (libc6"),
        ("Source: hello-src", "Source: ../x"),
        ("Description: short", "Description: a\0b"),
    ] {
        let control = tar(&[("control", CONTROL.replacen(from, to, 1).as_bytes())]);
        let why = why(&deb(("control.tar", &control), ("data.tar", &data)));
        assert!(
            why.starts_with("x.deb is refused: control: "),
            "{to}: {why}"
        );
    }
}

#[test]
fn lying_sizes_are_refused() {
    let (control, data) = (control_tar(), tar(&[("./usr/bin/x", b"x")]));
    let mut good = deb(("control.tar", &control), ("data.tar", &data));
    for size in ["9999999999", "-1", "0x10", "1e3"] {
        let mut bad = good.clone();
        let at = 8 + 60 + 4 + 48;
        bad[at..at + 10].copy_from_slice(format!("{size:<10}").as_bytes());
        let why = why(&bad);
        assert!(why.starts_with("x.deb is refused: "), "{size}: {why}");
    }
    // An entry of the tar that claims 8 EiB.
    let at = good.len() - data.len() + 124;
    good[at..at + 12].copy_from_slice(&[
        0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]);
    let header = good.len() - data.len();
    let mut sum: u32 = good[header..header + 512]
        .iter()
        .map(|b| u32::from(*b))
        .sum();
    let stored: u32 = good[header + 148..header + 156]
        .iter()
        .map(|b| u32::from(*b))
        .sum();
    sum = sum - stored + 8 * 32;
    good[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let why = why(&good);
    assert!(why.starts_with("x.deb is refused: data.tar"), "{why}");
}

#[test]
fn a_million_files_are_refused() {
    let mut header = ::tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..3].copy_from_slice(b"./x");
    header.set_size(0);
    header.set_cksum();
    let packed = zstd::encode_all(&header.as_bytes().repeat(10_000)[..], 1).unwrap();
    let packed = packed.repeat(100);
    let why = why(&deb(
        ("control.tar", &control_tar()),
        ("data.tar.zst", &packed),
    ));
    assert!(
        why.contains("data.tar.zst: it has more than 500000 entries"),
        "{why}"
    );
}

#[test]
fn bombs_are_refused_in_each_compression() {
    let zeros = vec![0; 1 << 20];
    type Packed = Box<dyn FnOnce(&mut dyn FnMut(&mut dyn Write)) -> Vec<u8>>;
    let lzma = || liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    let all: Vec<(&str, Packed)> = vec![
        (
            "gz",
            Box::new(|fill| {
                let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
                fill(&mut e);
                e.finish().unwrap()
            }),
        ),
        (
            "xz",
            Box::new(|fill| {
                let mut e = liblzma::write::XzEncoder::new(Vec::new(), 0);
                fill(&mut e);
                e.finish().unwrap()
            }),
        ),
        (
            "bz2",
            Box::new(|fill| {
                let mut e = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
                fill(&mut e);
                e.finish().unwrap()
            }),
        ),
        (
            "zst",
            Box::new(|fill| {
                let mut e = zstd::Encoder::new(Vec::new(), 1).unwrap();
                fill(&mut e);
                e.finish().unwrap()
            }),
        ),
        (
            "lzma",
            Box::new(move |fill| {
                let s = liblzma::stream::Stream::new_lzma_encoder(&lzma()).unwrap();
                let mut e = liblzma::write::XzEncoder::new_stream(Vec::new(), s);
                fill(&mut e);
                e.finish().unwrap()
            }),
        ),
    ];
    // control.tar with one entry that goes on for ever.
    let mut header = ::tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..6].copy_from_slice(b"./junk");
    header.set_size(1 << 32);
    header.set_cksum();
    for (end, packed) in all {
        let bomb = packed(&mut |to| {
            to.write_all(header.as_bytes()).unwrap();
            (0..65).for_each(|_| to.write_all(&zeros).unwrap());
        });
        let data = tar(&[]);
        let why = why(&deb(
            (&format!("control.tar.{end}"), &bomb),
            ("data.tar", &data),
        ));
        assert!(
            why.contains("there are more than 67108864 bytes"),
            "{end}: {why}"
        );
    }
}
