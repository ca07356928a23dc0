//! Targets of pushes: how they are configured, and what they have to have.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::processes::wait_until;
use super::programs::free_port;
use super::site::{Site, TWO_SUITES, contents, differing, files};

/// One target, as the configuration has it.
pub(crate) fn target(name: &str, address: &str, more: &str) -> String {
    format!("[[push]]\nname = \"{name}\"\nrsync = \"{address}\"\n{more}\n")
}

/// A site that pushes to the directory `target` beside it with a script of its own.
pub(crate) fn site_with_program(script: &str) -> Site {
    let mut site = Site::of(TWO_SUITES);
    let script = script.replace("DIR", site.dir().to_str().unwrap());
    let program = site.script("program", &format!("#!/bin/sh\n{script}\n"));
    site.set_extra(&target(
        "near",
        site.dir().join("target").to_str().unwrap(),
        &format!("program = \"{}\"", program.display()),
    ));
    site
}

/// Checks that a target has what production has, and nothing under temporary names.
#[track_caller]
pub(crate) fn check_target(site: &Site, target: &Path) {
    let production = site.root().join("merged-production");
    let (pushed, wanted) = (contents(target), contents(&production));
    assert_eq!(differing(&pushed, &wanted), BTreeSet::new());
    site.expect(0, &["verify", target.to_str().unwrap()]);
    assert!(!target.join("pool").exists(), "pools stay here");
    let litter: Vec<PathBuf> = files(target)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains('~'))
        .collect();
    assert_eq!(litter, Vec::<PathBuf>::new());
}

/// A server that ends with its test.
pub(crate) struct Server {
    process: Child,
    /// The port that the daemon listens on, at 127.0.0.1.
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server at a free port. Another process may take that before it does: then there is another try.
pub(crate) fn serve(command: impl Fn(u16) -> Command) -> Server {
    let try_once = || {
        let port = free_port();
        let process = command(port).stdin(Stdio::null()).spawn().unwrap();
        let mut server = Server { process, port };
        let mut ended = false;
        wait_until("the server answers or ends", || {
            ended = server.process.try_wait().unwrap().is_some();
            ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        (!ended).then_some(server)
    };
    (0..10).find_map(|_| try_once()).unwrap()
}

/// An rsync daemon with one module, `there`, which is `module` in a directory and has these parameters besides.
pub(crate) fn rsync_daemon(dir: &Path, parameters: &str) -> Server {
    let module = dir.join("module");
    fs::create_dir_all(&module).unwrap();
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let users = match uid.is_root() {
        true => format!("uid = {uid}\ngid = {gid}\n"),
        false => String::new(),
    };
    let config = dir.join("rsyncd.conf");
    let text = format!(
        "use chroot = no\n{users}[there]\npath = {}\nread only = no\n{parameters}\n",
        module.display()
    );
    fs::write(&config, text).unwrap();
    serve(|port| {
        let mut daemon = Command::new("rsync");
        daemon
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", config.display()))
            .arg("--log-file=/dev/null");
        daemon
    })
}
