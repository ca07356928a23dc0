//! Shows a push over a real ssh, and that nothing of it asks a person or follows what else is in the environment.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::programs::{has, skipped};
use crate::common::site::{SECURITY, Site, TWO_SUITES, work_dir};
use crate::common::targets::{Server, check_target, serve, site_with_program, target};

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// Starts sshd with keys of its own in a directory, for the user that runs the test; none where this machine has none.
fn sshd(dir: &Path) -> Option<Server> {
    let program = "/usr/sbin/sshd";
    if !has("rsync") || !has("ssh") || !has("ssh-keygen") || !has("sshd") {
        return None;
    }
    // As root, it wants an empty directory that Debian makes when it starts the service.
    let is_root = nix::unistd::getuid().is_root();
    if is_root && fs::create_dir_all("/run/sshd").is_err() {
        skipped("/run/sshd");
        return None;
    }
    make_key(&dir.join("host"));
    make_key(&dir.join("key"));
    fs::copy(dir.join("key.pub"), dir.join("authorized")).unwrap();
    let config = format!(
        "HostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nLogLevel QUIET\n",
        dir.display()
    );
    fs::write(dir.join("sshd_config"), config).unwrap();
    let server = serve(|port| {
        let mut sshd = Command::new(program);
        sshd.args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .args(["-o", "ListenAddress=127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null());
        sshd
    });
    let key = fs::read_to_string(dir.join("host.pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {key}", server.port);
    fs::write(dir.join("known"), known).unwrap();
    // An account that is locked, or has no shell, lets nobody in.
    let mut look = Command::new("ssh");
    look.args(shell(dir, &server, "key", "known"));
    let answer = look
        .args(["127.0.0.1", "echo here"])
        .stdin(Stdio::null())
        .output();
    if answer.unwrap().stdout != b"here\n" {
        skipped("sshd that lets this user in");
        return None;
    }
    Some(server)
}

/// The arguments of ssh, for a key and a file of known hosts.
fn shell(dir: &Path, server: &Server, key: &str, known: &str) -> Vec<String> {
    let dir = dir.display();
    let arguments = format!(
        "-F none -p {} -i {dir}/{key} -o IdentitiesOnly=yes -o UserKnownHostsFile={dir}/{known}",
        server.port
    );
    arguments.split(' ').map(str::to_owned).collect()
}

fn to_host(dir: &Path, server: &Server, there: &Path, key: &str, known: &str) -> String {
    let rsh = shell(dir, server, key, known).join(" ");
    let address = format!("127.0.0.1:{}", there.display());
    target("far", &address, &format!("options = [\"--rsh=ssh {rsh}\"]"))
}

#[test]
fn a_host_over_real_ssh_gets_what_production_has() {
    let dir = work_dir();
    let Some(server) = sshd(dir.path()) else {
        return;
    };
    // What a remote shell would make of the path must not matter.
    for name in ["target", "a target; touch $HOME/*"] {
        let there = dir.path().join(name);
        let site = Site::of(TWO_SUITES).with(&to_host(dir.path(), &server, &there, "key", "known"));
        assert_eq!(site.expect(0, &["run"]), "");
        check_target(&site, &there);
        assert_eq!(site.expect(0, &["run"]), "");
        fs::remove_file(there.join("dists/daedalus/InRelease")).unwrap();
        let told = site.expect(0, &["run"]);
        assert!(told.contains("dists/daedalus/InRelease"), "{told}");
        check_target(&site, &there);
        // What is gone goes there as well, and nothing else.
        let theirs = there.join("dists/theirs/InRelease");
        fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "theirs").unwrap();
        site.raise_overlay("1.1");
        site.configure(SECURITY, "");
        assert_eq!(site.expect(0, &["run"]), "");
        assert!(theirs.is_file() && !there.join("dists/daedalus-security").exists());
        fs::remove_dir_all(theirs.parent().unwrap()).unwrap();
        check_target(&site, &there);
    }
}

#[test]
fn ssh_asks_nobody() {
    let dir = work_dir();
    let Some(server) = sshd(dir.path()) else {
        return;
    };
    make_key(&dir.path().join("stranger"));
    fs::write(dir.path().join("nobody"), "").unwrap();
    let there = dir.path().join("target");
    // An unknown host; and a key that is not let in, where a password is asked for.
    for (key, known, says) in [
        ("key", "nobody", "Host key verification failed"),
        ("stranger", "known", "Permission denied"),
    ] {
        let site = Site::of(TWO_SUITES).with(&to_host(dir.path(), &server, &there, key, known));
        let asked = site.dir().join("asked");
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\necho yes\n", asked.display());
        let askpass = site.script("askpass", &script);
        let mut run = site.command(&["run"]);
        run.env("DISPLAY", ":7")
            .env("WAYLAND_DISPLAY", "wayland-7")
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force");
        let output = run.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(told.contains(says), "{told}");
        assert!(!asked.exists(), "{:?}", fs::read_to_string(&asked));
        assert!(!there.exists());
    }
}

#[test]
fn a_transfer_has_what_lets_it_in_and_not_what_changes_what_it_writes() {
    if !has("rsync") {
        return;
    }
    let site = site_with_program("env > DIR/environment; exec rsync \"$@\"");
    let there = site.dir().join("target");
    let passed = [
        ("RSYNC_PASSWORD", "secret"),
        ("RSYNC_PROXY", "proxy.example:3128"),
        ("SSH_AUTH_SOCK", "/run/agent"),
    ];
    let kept_back = [
        ("RSYNC_PARTIAL_DIR", "/there/is/no/place"),
        ("RSYNC_ICONV", "no,charset"),
        ("DISPLAY", ":7"),
        ("SSH_ASKPASS", "/bin/true"),
    ];
    let mut run = site.command(&["run"]);
    let output = run.envs(passed).envs(kept_back).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""));
    check_target(&site, &there);
    let environment = fs::read_to_string(site.dir().join("environment")).unwrap();
    let has = |name: &str| {
        environment
            .lines()
            .any(|line| line.starts_with(&format!("{name}=")))
    };
    for (name, _) in passed {
        assert!(has(name), "{environment}");
    }
    for (name, _) in kept_back {
        assert!(!has(name), "{environment}");
    }
    assert!(
        environment.contains("SSH_ASKPASS_REQUIRE=never\n"),
        "{environment}"
    );
}
