//! Tables of what signatures are worth: a row is a keyring and a Release.gpg, judged here and by the real apt, gpgv and sqv.
//!
//! The three verdicts of a row are ours, that of apt 2 (which asks gpgv) and that of sqv 1: `+` takes the archive, `-` refuses
//! it. Where the two programs agree, ours is theirs. Where it is another one, or they differ, `src/openpgp/fitness.rs`,
//! `judge.rs` and `keyring.rs` say why.

use std::time::SystemTime;

use aptmerge::openpgp::{Error, Keyring, Verified};
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::packet::Signature;

use super::certs::{armored, packet, public};
use super::oracles::{Oracles, RELEASE, word};

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    expected: String,
    keyring: Vec<u8>,
    signature: String,
}

impl Table {
    /// Adds one signature, and the certificates of the keyring.
    pub(crate) fn row(
        &mut self,
        name: &str,
        expected: &str,
        certs: &[&Cert],
        signature: Signature,
    ) {
        self.raw(name, expected, &ring(certs), &[&packet(signature)]);
    }

    /// Adds some signatures and a keyring. What stands after the verdicts, our refusal or warning says.
    pub(crate) fn raw(&mut self, name: &str, expected: &str, keyring: &[u8], packets: &[&[u8]]) {
        self.rows.push(Row {
            name: name.into(),
            expected: expected.into(),
            keyring: keyring.into(),
            signature: armored(packets),
        });
    }

    /// Judges every row, and prints the table if one verdict is not the expected one.
    pub(crate) fn check(self) {
        let pairs = self.rows.iter();
        let oracles = Oracles::ask(pairs.map(|row| (&row.keyring[..], &row.signature[..])));
        let (mut table, mut wrong) = (String::new(), Vec::new());
        for (row, oracles) in self.rows.iter().zip(oracles) {
            let ours = row.judge();
            let said = match &ours {
                Ok(verified) => verified.warnings.join("; "),
                Err(error) => chain(error),
            };
            let (signs, says) = row.expected.split_once(' ').unwrap_or((&row.expected, ""));
            let verdicts = [Some(ours.is_ok()), oracles.apt, oracles.sqv];
            let fits = verdicts
                .iter()
                .zip(signs.chars())
                .all(|(verdict, sign)| verdict.is_none_or(|v| v == (sign == '+')));
            let is_right = fits && said.contains(says);
            if !is_right {
                wrong.push(&row.name);
            }
            table += &format!(
                "{} {:64} expected {signs}, ours {:7} {oracles}\n      {said}\n",
                if is_right { ' ' } else { '!' },
                row.name,
                word(Some(ours.is_ok())),
            );
        }
        assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
    }
}

impl Row {
    fn judge(&self) -> Result<Verified, Error> {
        let now = SystemTime::now();
        let keyring = Keyring::from_bytes(&self.keyring)?;
        keyring.verify_detached(RELEASE.as_bytes(), self.signature.as_bytes(), now)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

pub(crate) fn ring(certs: &[&Cert]) -> Vec<u8> {
    certs.iter().flat_map(|cert| public(cert)).collect()
}
