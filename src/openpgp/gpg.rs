//! Signing through the gpg program: for keys in an agent or on a card, which no file of ours should hold.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sequoia_openpgp::cert::amalgamation::key::{ErasedKeyAmalgamation, PrimaryKey};
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::{Cert, KeyHandle};

use super::ready::{Candidate, SigningKeys};
use super::{Error, Keyring, Signed};

/// The time that gpg may take: long enough for somebody to find the card or the passphrase that its agent asks for.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The most that gpg may write: an export or a signature of gpg's is a tenth of that.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;

/// A gpg, and the keys in it to sign with.
#[derive(Debug)]
pub(super) struct Gpg {
    pub(super) program: PathBuf,
    pub(super) homedir: Option<PathBuf>,
    pub(super) keys: Vec<String>,
}

impl Gpg {
    /// Returns the public keys, with every self-signature that gpg has kept.
    pub(super) fn certificates(&self) -> Result<Keyring, Error> {
        if self.keys.is_empty() {
            return Err(Error::NoKeys);
        }
        let keys: Vec<_> = self.keys.iter().map(String::as_str).collect();
        self.export(&keys)
    }

    fn export(&self, keys: &[&str]) -> Result<Keyring, Error> {
        let mut args = vec!["--export", "--"];
        // With `!`, gpg would leave out the other subkeys.
        args.extend(keys.iter().map(|key| key.trim_end_matches('!')));
        Keyring::from_bytes(&self.run(&args, b"")?)
    }

    /// Returns for each key by its name the certificate that it is a part of.
    ///
    /// gpg alone knows which key the name of a person stands for, and is asked only if that does not follow from the other names.
    pub(super) fn certs_by_name(&self, certificates: &Keyring) -> Result<Vec<Cert>, Error> {
        let certs = certificates.certs();
        let by_handle = |name: &String| {
            let handle = handle(name)?;
            let is_of = |cert: &&Cert| cert.keys().any(|k| handle.aliases(k.key().key_handle()));
            certs.iter().find(is_of).cloned()
        };
        let mut found: Vec<_> = self.keys.iter().map(by_handle).collect();
        let is_left = |cert: &&Cert| !found.iter().flatten().any(|known| known == *cert);
        let left: Vec<_> = certs.iter().filter(is_left).cloned().collect();
        let unknown = found.iter().filter(|cert| cert.is_none()).count();
        for (name, cert) in self.keys.iter().zip(&mut found) {
            if cert.is_some() {
                continue;
            }
            *cert = match (left.as_slice(), unknown) {
                _ if handle(name).is_some() => {
                    return Err(Error::GpgLacksKey {
                        program: self.program.clone(),
                        key: name.clone(),
                    });
                }
                ([only], 1) => Some(only.clone()),
                _ => self.export(&[name])?.certs().first().cloned(),
            };
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns the key by its name in the configuration, and the parts of its certificate that gpg may sign with.
    pub(super) fn candidate<'a>(
        &self,
        number: usize,
        cert: &'a Cert,
        at: SystemTime,
    ) -> Candidate<'a> {
        let name = self.keys.get(number).map_or("", String::as_str);
        let subkey = named_subkey(name, slice::from_ref(cert));
        let is_exact = name.ends_with('!');
        let may_sign = |key: &ErasedKeyAmalgamation<'_, PublicParts>| match &subkey {
            Some(subkey) => key.key().fingerprint().to_hex() == *subkey,
            None => key.primary() || !is_exact,
        };
        let made = |key: &ErasedKeyAmalgamation<'_, PublicParts>| {
            let bound = key.self_signatures();
            let bound = bound.filter_map(|signature| signature.signature_creation_time());
            bound.fold(key.key().creation_time(), SystemTime::max)
        };
        Candidate {
            cert,
            // gpg signs by its own clock, by which the key is there.
            at: cert.keys().map(|key| made(&key)).fold(at, SystemTime::max),
            parts: cert.keys().filter(may_sign).collect(),
            place: self.program.display().to_string(),
        }
    }

    /// Refuses a key of which gpg has no private half that could sign; one on a card that was seen counts as there.
    pub(super) fn check_private(&self, candidates: &[Candidate<'_>]) -> Result<(), Error> {
        let keys = self.keys.iter().map(|key| key.trim_end_matches('!'));
        let mut args = vec!["--with-colons", "--list-secret-keys", "--"];
        args.extend(keys);
        // Without a private half, gpg fails, and says so in many words.
        let listing = match self.run(&args, b"") {
            Ok(listing) => String::from_utf8_lossy(&listing).into_owned(),
            Err(Error::Gpg { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let mut there = Vec::new();
        let mut is_there = false;
        for line in listing.lines() {
            let fields: Vec<_> = line.split(':').collect();
            match (fields.first(), fields.get(14), fields.get(9)) {
                (Some(&("sec" | "ssb")), token, _) => is_there = token != Some(&"#"),
                (Some(&"fpr"), _, Some(fingerprint)) if is_there => there.push(*fingerprint),
                _ => {}
            }
        }
        let has = |part: &ErasedKeyAmalgamation<'_, PublicParts>| {
            there.contains(&part.key().fingerprint().to_hex().as_str())
        };
        match candidates.iter().find(|key| !key.parts.iter().any(has)) {
            None => Ok(()),
            Some(key) => Err(Error::NoPrivateHalf {
                place: key.place.clone(),
                fingerprint: key.cert.fingerprint().to_hex(),
            }),
        }
    }

    /// Signs with all keys that can sign in one call for each form, so that all signatures come in one armor block.
    pub(super) fn sign(&self, body: &[u8], keys: &SigningKeys) -> Result<Signed, Error> {
        let able = keys.able().iter();
        let named = able.filter_map(|key| self.keys.get(key.number));
        let users: Vec<String> = named.map(|name| exact(name, keys.certs())).collect();
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
        let child = command
            .args(args)
            // Its words end up in our messages, which are in English.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_run)?;
        let output = wait(child, input, PATIENCE).map_err(not_run)?;
        let Some(output) = output else {
            return Err(Error::GpgHangs {
                program: self.program.clone(),
                minutes: PATIENCE.as_secs() / 60,
            });
        };
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

/// Feeds a child and hears it to its end; `None`, and the child is killed, if that does not come in time.
///
/// Each pipe has a thread of its own: gpg may fill its output pipe before it has read all of its input. Nobody waits for these
/// threads when time is up, since something that the child has left behind may hold its pipes open.
fn wait(mut child: Child, input: &[u8], patience: Duration) -> io::Result<Option<Output>> {
    let (stdin, input) = (child.stdin.take(), input.to_vec());
    thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A gpg that fails does not read to the end, and its exit code tells.
            let _ = stdin.write_all(&input);
        }
    });
    let too_much = Arc::new(AtomicBool::new(false));
    let stdout = read_aside(child.stdout.take(), &too_much);
    let stderr = read_aside(child.stderr.take(), &too_much);
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if !too_much.load(Ordering::Relaxed)
            && let Some(status) = child.try_wait()?
            && stdout.is_finished()
            && stderr.is_finished()
        {
            let text = |reader: thread::JoinHandle<io::Result<Vec<u8>>>| {
                let lost = |_| io::Error::other("its output could not be read");
                reader.join().map_err(lost)?
            };
            return Ok(Some(Output {
                status,
                stdout: text(stdout)?,
                stderr: text(stderr)?,
            }));
        }
        if too_much.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            let why = format!("it wrote more than {MAX_OUTPUT_BYTES} bytes, and was stopped");
            return Err(io::Error::other(why));
        }
        if begun.elapsed() >= patience {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Reads a pipe to its end, or until it has given more than memory should hold.
fn read_aside(
    pipe: Option<impl Read + Send + 'static>,
    too_much: &Arc<AtomicBool>,
) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    let too_much = Arc::clone(too_much);
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(pipe) = pipe {
            pipe.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut text)?;
        }
        if text.len() as u64 > MAX_OUTPUT_BYTES {
            too_much.store(true, Ordering::Relaxed);
        }
        Ok(text)
    })
}

/// gpg signs with whatever key of a certificate it likes best, even if a subkey was named, unless `!` follows the name.
/// So the name of a subkey gets one; the name of a primary key does not, since that is often kept elsewhere and only
/// stands for the certificate.
fn exact(key: &str, certs: &[Cert]) -> String {
    match named_subkey(key, certs) {
        Some(_) => format!("{key}!"),
        None => key.into(),
    }
}

/// Reads the name of a key that is a fingerprint or a key id.
fn handle(key: &str) -> Option<KeyHandle> {
    key.trim_end_matches('!').parse().ok()
}

/// Returns the fingerprint of the subkey that a key's name names.
fn named_subkey(key: &str, certs: &[Cert]) -> Option<String> {
    let name = handle(key)?;
    let mut subkeys = certs.iter().flat_map(|cert| cert.keys().subkeys());
    let named = subkeys.find(|subkey| name.aliases(subkey.key().key_handle()))?;
    Some(named.key().fingerprint().to_hex())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn one_that_never_ends_is_killed_and_one_that_ends_is_heard_out() {
        let brief = Duration::from_millis(100);
        assert!(
            wait(shell("exec sleep 1000"), b"", brief)
                .unwrap()
                .is_none()
        );
        // What it leaves behind holds its pipes open.
        let left = wait(shell("sleep 3 & exit 0"), b"", brief).unwrap();
        assert!(left.is_none());
        let large = vec![b'x'; 1 << 20];
        let output = wait(shell("cat; echo why >&2; exit 3"), &large, PATIENCE);
        let output = output.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout, output.stderr), (large, b"why\n".to_vec()));
    }
}
