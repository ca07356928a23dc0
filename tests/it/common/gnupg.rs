//! GnuPG in a home of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use aptmerge::openpgp::Signer;
use tempfile::TempDir;

use super::programs::has;

/// A GnuPG home of its own, whose agent goes with it.
pub(crate) struct Gnupg(TempDir);

impl Gnupg {
    pub(crate) fn new() -> Option<Gnupg> {
        if !has("gpg") {
            return None;
        }
        let home = tempfile::Builder::new()
            .prefix("g")
            .tempdir_in("/tmp")
            .unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(Gnupg(home))
    }

    pub(crate) fn home(&self) -> &Path {
        self.0.path()
    }

    /// Calls gpg with some input, which has to succeed; returns what it wrote to stdout.
    pub(crate) fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let file = self.0.path().join("input");
        fs::write(&file, input).unwrap();
        let output = Command::new("gpg")
            .args(["--batch", "--no-tty", "--quiet", "--homedir"])
            .arg(self.0.path())
            .args(args)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Imports a file of keys.
    pub(crate) fn import(&self, file: &Path) {
        self.gpg(&["--import"], &fs::read(file).unwrap());
    }

    /// Makes a key with a signing subkey, and returns both fingerprints.
    pub(crate) fn key(&self, name: &str) -> (String, String) {
        let plain = ["--pinentry-mode", "loopback", "--passphrase", ""];
        self.gpg(
            &[
                &plain[..],
                &["--quick-gen-key", name, "ed25519", "cert,sign", "0"],
            ]
            .concat(),
            b"",
        );
        let primary = self.fingerprints(name).first().unwrap().clone();
        self.gpg(
            &[
                &plain[..],
                &["--quick-add-key", &primary, "ed25519", "sign", "0"],
            ]
            .concat(),
            b"",
        );
        let subkey = self.fingerprints(name).last().unwrap().clone();
        assert_ne!(primary, subkey);
        (primary, subkey)
    }

    pub(crate) fn fingerprints(&self, name: &str) -> Vec<String> {
        String::from_utf8(self.gpg(&["--with-colons", "--list-keys", name], b""))
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("fpr:"))
            .map(|line| line.split(':').nth(9).unwrap().to_owned())
            .collect()
    }

    pub(crate) fn signer(&self, keys: &[&str]) -> Signer {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Signer::gpg("gpg".into(), Some(self.0.path().into()), keys)
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}
