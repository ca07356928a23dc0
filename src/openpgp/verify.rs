//! Decides whether a text was signed by somebody in the keyring, and hands on exactly the text that was.

use std::time::SystemTime;

use sequoia_openpgp::policy::StandardPolicy;

use super::clearsign::{self, ClearSigned};
use super::judge::{Judge, policy_with_weak_keys};
use super::signatures::SignatureFile;
use super::{Error, Keyring, MAX_MESSAGE_BYTES};

/// A text, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, and nothing else.
    ///
    /// For a clear-signed message this is the text that was hashed, which ends before the last line end (RFC 9580, section
    /// 7.1), plus that one LF; spaces and tabs at the ends of lines are not part of it. So `body` equals the Release beside
    /// the InRelease, as long as no line of the Release ends in spaces or tabs.
    pub body: Vec<u8>,
    /// The signatures as they came, for [`Keyring::verify_again`].
    pub signature: Vec<u8>,
    /// The certificates (fingerprints of primary keys, upper-case hexadecimal) with a good signature, each once.
    pub signers: Vec<String>,
    /// The time of the newest of these signatures, as its maker gives it.
    pub signed: SystemTime,
    /// The time when the last of these keys lapses; `None` if one of them never does.
    pub lapses: Option<SystemTime>,
    /// The time before which this verdict does not change: keys and signatures expire.
    pub holds_until: SystemTime,
    /// The fault of the keys, if none of them counts but by [`Keyring::taking_weak_keys_until`].
    pub weakness: Option<String>,
    /// A line for each signature that was passed over.
    pub warnings: Vec<String>,
}

impl Keyring {
    /// Verifies a clear-signed message (an InRelease) at the time `now`.
    pub fn verify_inline(&self, message: &[u8], now: SystemTime) -> Result<Verified, Error> {
        check_size("the clear-signed message", message)?;
        let ClearSigned { text, blocks } = clearsign::split(message)?;
        let signatures = SignatureFile::armored(&blocks)?;
        let verdict = self.judge(&text, signatures, now)?;
        let mut body = text;
        body.push(b'\n');
        Ok(verdict.about(body, blocks.concat()))
    }

    /// Verifies a clear-signed message of our own at the time `now`, or when it was signed, if the clock was ahead then.
    pub(crate) fn verify_own(&self, message: &[u8], now: SystemTime) -> Result<Verified, Error> {
        let signatures = own_signatures(message)?;
        self.verify_inline(message, latest(&signatures, now))
    }

    /// Judges a clear-signed message of our own for every client, whether it asks gpgv or sqv. Returns up to when the verdict holds as well.
    pub(super) fn signers_for_all(
        &self,
        message: &[u8],
        now: SystemTime,
    ) -> Result<(Judged, SystemTime), Error> {
        let signatures = own_signatures(message)?;
        let text = clearsign::split(message)?.text;
        let at = latest(&signatures, now);
        let judged = self.judge_each(&text, at, &signatures, Measure::ForEveryClient)?;
        Ok((judged, self.verdict_holds_until(&signatures.readable, now)))
    }

    /// Verifies a text (a Release) with signatures that are kept apart from it (its Release.gpg), at the time `now`.
    ///
    /// `signature` may be binary, or consist of one or several armor blocks with one or several signatures each.
    pub fn verify_detached(
        &self,
        body: &[u8],
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Error> {
        check_size("the signed text", body)?;
        check_size("the detached signature", signature)?;
        // Under a signature of the text kind the line ends of a text may be exchanged (RFC 9580, section 5.2.1.2), so only
        // a text without CR is the one that was signed.
        clearsign::check_bytes(body, "the signed text")?;
        // Every OpenPGP packet starts with a byte whose top bit is set (RFC 9580, section 4.2).
        let signatures = if signature.first().is_some_and(|byte| byte & 0x80 != 0) {
            SignatureFile::binary(signature)?
        } else {
            SignatureFile::armored(&clearsign::split_detached(signature)?)?
        };
        let verdict = self.judge(body, signatures, now)?;
        Ok(verdict.about(body.to_vec(), signature.to_vec()))
    }

    /// Verifies once more what was verified before, at the time `now`: keys and signatures expire, and keys are revoked.
    ///
    /// `signature` is [`Verified::signature`], of a clear-signed message if `inline`.
    pub fn verify_again(
        &self,
        body: &[u8],
        signature: &[u8],
        inline: bool,
        now: SystemTime,
    ) -> Result<Verified, Error> {
        if !inline {
            return self.verify_detached(body, signature, now);
        }
        let signatures = SignatureFile::armored(&clearsign::split_detached(signature)?)?;
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        let verdict = self.judge(text, signatures, now)?;
        Ok(verdict.about(body.to_vec(), signature.to_vec()))
    }

    /// Returns whether a message is a text and its signatures as [`Verified`] has them, so that nothing about it is new. `detached` are the
    /// signatures that came apart from it.
    pub(crate) fn is_same(
        verified: (&[u8], &[u8]),
        message: &[u8],
        detached: Option<&[u8]>,
    ) -> bool {
        let (body, signature) = verified;
        match detached {
            Some(detached) => (body, signature) == (message, detached),
            None => clearsign::split(message).is_ok_and(|ClearSigned { text, blocks }| {
                body.strip_suffix(b"\n") == Some(&text) && blocks.concat() == signature
            }),
        }
    }

    fn judge(
        &self,
        text: &[u8],
        signatures: SignatureFile,
        now: SystemTime,
    ) -> Result<Verdict, Error> {
        let mut judged = self.judge_each(text, now, &signatures, Measure::Ours)?;
        let mut weakness = None;
        if judged.signers.is_empty() && self.takes_weak_keys(now) {
            let mut faults = judged.problems.iter().filter(|why| why.is_of_known_key());
            let first = faults.clone().next();
            let weak = faults.find(|why| why.is_weak_key()).or(first);
            weakness = weak.map(|why| crate::chain::chain(why));
            judged = self.judge_each(text, now, &signatures, Measure::WithWeakKeys)?;
        }
        if judged.signers.is_empty() {
            judged.problems.extend(signatures.unreadable);
            return Err(refusal(judged.problems, self.left_out()));
        }
        let warnings = judged.problems.iter().chain(&signatures.unreadable);
        Ok(Verdict {
            warnings: warnings.map(warning).collect(),
            weakness,
            signed: judged.signed,
            lapses: judged.lapses(),
            holds_until: self.verdict_holds_until(&signatures.readable, now),
            signers: judged.signers,
        })
    }

    fn judge_each(
        &self,
        text: &[u8],
        now: SystemTime,
        signatures: &SignatureFile,
        measure: Measure,
    ) -> Result<Judged, Error> {
        let policy = match measure {
            Measure::WithWeakKeys => policy_with_weak_keys(now),
            _ => StandardPolicy::at(now),
        };
        let judge = Judge {
            certs: self.certs(),
            policy: &policy,
            now,
            text,
            for_sqv_too: measure == Measure::ForEveryClient,
            takes_weak_keys: measure == Measure::WithWeakKeys,
        };
        let mut judged = Judged {
            signers: Vec::new(),
            ends: Vec::new(),
            signed: SystemTime::UNIX_EPOCH,
            problems: Vec::new(),
        };
        for signature in &signatures.readable {
            match judge.judge(signature) {
                Ok(by) => {
                    let time = signature.signature_creation_time();
                    judged.signed = time.map_or(judged.signed, |time| judged.signed.max(time));
                    judged.ends.push(by.lapses);
                    if !judged.signers.contains(&by.certificate) {
                        judged.signers.push(by.certificate);
                    }
                }
                Err(bad @ Error::BadSignature { .. }) => return Err(bad),
                Err(problem) => judged.problems.push(problem),
            }
        }
        Ok(judged)
    }
}

/// The measure by which keys are judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// The rules of this module.
    Ours,
    /// These, but keys may be weak.
    WithWeakKeys,
    /// These, and sqv's.
    ForEveryClient,
}

/// The signatures over a text.
pub(super) struct Judged {
    /// The certificates whose signatures count, each once.
    pub(super) signers: Vec<String>,
    /// The times when the keys of the signatures that count lapse.
    ends: Vec<Option<SystemTime>>,
    /// The time of the newest signature that counts.
    signed: SystemTime,
    /// The faults of the other signatures.
    pub(super) problems: Vec<Error>,
}

impl Judged {
    /// Returns the time when the last of the keys lapses; `None` if one of them never does.
    fn lapses(&self) -> Option<SystemTime> {
        let ends: Option<Vec<_>> = self.ends.iter().copied().collect();
        ends?.into_iter().max()
    }
}

/// Reads the signatures of a clear-signed message of our own.
fn own_signatures(message: &[u8]) -> Result<SignatureFile, Error> {
    check_size("the clear-signed message", message)?;
    SignatureFile::armored(&clearsign::split(message)?.blocks)
}

/// Returns the time `now`, or that of the latest signature, if the clock was ahead then.
fn latest(signatures: &SignatureFile, now: SystemTime) -> SystemTime {
    let signatures = signatures.readable.iter();
    let signed = signatures.filter_map(|signature| signature.signature_creation_time());
    signed.fold(now, SystemTime::max)
}

struct Verdict {
    signers: Vec<String>,
    signed: SystemTime,
    lapses: Option<SystemTime>,
    holds_until: SystemTime,
    weakness: Option<String>,
    warnings: Vec<String>,
}

impl Verdict {
    fn about(self, body: Vec<u8>, signature: Vec<u8>) -> Verified {
        Verified {
            body,
            signature,
            signers: self.signers,
            signed: self.signed,
            lapses: self.lapses,
            holds_until: self.holds_until,
            weakness: self.weakness,
            warnings: self.warnings,
        }
    }
}

/// Returns the error for a text without a good signature: the faults of the signatures by known keys, or if there are none,
/// who else signed.
fn refusal(problems: Vec<Error>, left_out: &[String]) -> Error {
    let mut unknown = Vec::new();
    let mut known = Vec::new();
    for problem in problems {
        match problem {
            Error::UnknownKeys { ids, .. } => unknown.extend(ids),
            other => known.push(other),
        }
    }
    if !unknown.is_empty() {
        known.push(Error::UnknownKeys {
            ids: unknown,
            left_out: left_out.to_vec(),
        });
    }
    if known.is_empty() {
        return Error::NoSignature;
    }
    match <[Error; 1]>::try_from(known) {
        Ok([only]) => only,
        Err(problems) => Error::NoneGood { problems },
    }
}

/// Returns the warning about a signature that was passed over: its error and the causes of the error, in one line.
fn warning(problem: &Error) -> String {
    if let Error::UnknownKeys { ids, .. } = problem {
        return format!(
            "a signature was passed over: key {} is not in the keyring",
            ids.join(", ")
        );
    }
    format!(
        "a signature was passed over: {}",
        crate::chain::chain(problem)
    )
}

fn check_size(what: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            what: what.into(),
            size_bytes: bytes.len(),
            limit_bytes: MAX_MESSAGE_BYTES,
        });
    }
    Ok(())
}
