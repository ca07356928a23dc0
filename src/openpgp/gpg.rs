//! Signing through the gpg program: for keys in an agent or on a card, which no file of ours should hold.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use sequoia_openpgp::{Cert, KeyHandle};

use super::{Error, Keyring, Signed};

/// A gpg, and the keys in it to sign with.
#[derive(Debug)]
pub(super) struct Gpg {
    pub(super) program: PathBuf,
    pub(super) homedir: Option<PathBuf>,
    pub(super) keys: Vec<String>,
}

impl Gpg {
    /// The public keys, whole: with every self-signature, so that older signatures can still be judged by them.
    pub(super) fn certificates(&self) -> Result<Keyring, Error> {
        if self.keys.is_empty() {
            return Err(Error::NoKeys);
        }
        let mut args = vec!["--export", "--"];
        // With `!`, gpg would leave out the other subkeys.
        args.extend(self.keys.iter().map(|key| key.trim_end_matches('!')));
        Keyring::from_bytes(&self.run(&args, b"")?)
    }

    /// Signs with all keys in one call each, so that all signatures come in one armor block.
    pub(super) fn sign(&self, body: &[u8], certificates: &Keyring) -> Result<Signed, Error> {
        let users: Vec<String> = self
            .keys
            .iter()
            .map(|key| exact(key, certificates.certs()))
            .collect();
        let mut args = vec!["--digest-algo", "SHA512", "--armor"];
        for user in &users {
            args.extend(["--local-user", user]);
        }
        let run = |form| self.run(&[&args[..], &[form]].concat(), body);
        Ok(Signed {
            inline: run("--clearsign")?,
            detached: run("--detach-sign")?,
        })
    }

    /// Runs gpg with `input` on its standard input (never our terminal), and returns what it wrote.
    fn run(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
        let not_run = |source| Error::GpgStart {
            program: self.program.clone(),
            source,
        };
        let mut command = Command::new(&self.program);
        command.args(["--batch", "--no-tty"]);
        if let Some(homedir) = &self.homedir {
            command.args([OsStr::new("--homedir"), homedir.as_os_str()]);
        }
        let mut child = command
            .args(args)
            // Its words end up in our messages, which are in English.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_run)?;
        let stdin = child.stdin.take();
        // Fed from a thread of its own: gpg may fill its output pipe before it has read all of its input.
        let output = thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A gpg that fails does not read to the end, and its exit code tells.
                    let _ = stdin.write_all(input);
                }
            });
            child.wait_with_output()
        })
        .map_err(not_run)?;
        if !output.status.success() || output.stdout.is_empty() {
            return Err(Error::Gpg {
                program: self.program.clone(),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(output.stdout)
    }
}

/// gpg signs with whatever key of a certificate it likes best, even if a subkey was named, unless `!` follows the name.
/// So the name of a subkey gets one; the name of a primary key does not, since that is often kept elsewhere and only
/// stands for the certificate.
fn exact(key: &str, certs: &[Cert]) -> String {
    let is_subkey = key.parse::<KeyHandle>().is_ok_and(|name| {
        certs.iter().any(|cert| {
            cert.keys()
                .subkeys()
                .any(|subkey| name.aliases(subkey.key().key_handle()))
        })
    });
    if is_subkey {
        format!("{key}!")
    } else {
        key.into()
    }
}
