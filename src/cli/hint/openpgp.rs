//! Hints for keyrings, signatures and keys.

use aptmerge::openpgp::Error;
use aptmerge::run::{KeyNotice, KeyState};

pub(in crate::cli) fn hint(error: &Error) -> Option<String> {
    Some(match error {
        Error::EmptyKeyring => "name a file with the archive's public keys in `signed-by`".into(),
        Error::Keybox { .. } => "export it: gpg --no-default-keyring --keyring FILE --export > archive.gpg".into(),
        Error::UnknownKeys { .. } => {
            "if the archive has a new key, get it from a place you trust and add it to the keyring".into()
        }
        Error::BadSignature { .. } => {
            "the file was altered, or fetched in the middle of a mirror's update; try again, or another mirror".into()
        }
        Error::ExpiredKey { .. } => {
            "get the archive's current key from a place you trust; most archives prolong theirs before it expires".into()
        }
        Error::RevokedKey { .. } => "find out from the archive why, and which key it signs with now".into(),
        Error::WeakHash { .. } => "the archive must sign with SHA-256 or better".into(),
        Error::WeakKey { .. } => {
            "sequoia's policy forbids it, which sqv applies as well, whatever gpgv says: ask the archive for a key of today's length that is bound by SHA-256 or better; until then, `accept-weak-keys-until = \"YYYY-MM-DD\"` of the archive takes it, with a warning in every run"
                .into()
        }
        Error::OlderThanKey { .. } => "the archive's clock was wrong when it signed; it must sign anew".into(),
        Error::UnsupportedSignature { .. } => {
            "ask the archive to sign with Ed25519, or with RSA of at most 4096 bits, as well".into()
        }
        Error::FutureSignature { .. } | Error::FutureKey { .. } => "check the clock of this machine".into(),
        Error::NoneGood { problems } => return problems.iter().find_map(hint),
        Error::KeyFilePermissions { path, .. } => format!("chmod 0600 {}", path.display()),
        Error::KeyEncrypted { .. } => {
            "sign through gpg (`signing.gpg`), whose agent asks for the passphrase, or remove the passphrase".into()
        }
        Error::NotPrivateKey { .. } => "export one: gpg --export-secret-keys KEY > signing.key".into(),
        Error::NoSigningKey { .. } => "prolong the key, or make a new one and announce it to the clients first".into(),
        Error::GpgLacksKey { .. } | Error::NoPrivateHalf { .. } => {
            "`gpg --list-secret-keys`, as the user that runs aptmerge and with the `homedir` of `signing.gpg`, lists those that it has".into()
        }
        Error::GpgHangs { .. } => {
            "its agent may be waiting for a passphrase or a card: unlock the key before the run, or sign with a key file".into()
        }
        Error::NoKeys => "name the keys to sign with in `signing`".into(),
        Error::SelfCheck { source, .. } => return hint(source),
        _ => return None,
    })
}

pub(in crate::cli) fn of_key(notice: &KeyNotice) -> Option<String> {
    let hint = match (notice.state, &notice.archive) {
        (KeyState::Lapsed, _) => {
            "prolong the key, or take it out of `signing` once no client needs it any more"
        }
        (KeyState::Lapsing, None) => {
            "prolong it (gpg --quick-set-expire), and bring the new certificate to every client before that day"
        }
        (KeyState::Weak, _) => {
            "after the day of `accept-weak-keys-until`, nothing newer of it is taken: ask the archive for a key of today's length that is bound by SHA-256 or better"
        }
        (KeyState::Lapsing, Some(_)) => {
            "get the archive's prolonged or next key from a place you trust, and add it to the keyring of `signed-by`"
        }
    };
    Some(hint.to_owned())
}
