//! Each error that an operator can do something about has its hint, and each kind of error its exit code.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use aptmerge::fetch::{FetchError, SpoolError};
use aptmerge::lock::LockError;
use aptmerge::names::SuiteName;
use aptmerge::openpgp;
use aptmerge::publish::{Guard, PublishError};
use aptmerge::push::{PushError, PushFault, Unpublished};
use aptmerge::units::Percent;
use jiff::Timestamp;

use super::*;

fn full() -> Error {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    Error::io("write", "/srv/aptmerge/log/changes.txt")(full)
}

fn guarded(guard: Guard) -> Error {
    let suite = "daedalus".to_owned();
    PublishError::Guard { suite, guard }.into()
}

fn shrink() -> Guard {
    Guard::Shrink {
        before: 100,
        after: 50,
        bound: Percent::new(20),
        losses: vec![("debian".to_owned(), 50)],
    }
}

#[test]
fn an_error_of_each_domain_has_its_hint() {
    let path = PathBuf::from("/srv/aptmerge/x");
    let time = Timestamp::UNIX_EPOCH;
    let empty = || openpgp::Error::EmptyKeyring;
    let denied = io::Error::from_raw_os_error(nix::libc::ENOLCK);
    let nothing = serde_json::from_str::<u8>("").unwrap_err();
    let errors: [(Error, &str); 19] = [
        (full(), "free some room"),
        (
            LockError::Unusable {
                action: "lock",
                path: path.clone(),
                source: denied,
            }
            .into(),
            "flock(2)",
        ),
        (
            StateError::Damaged {
                path: path.clone(),
                source: nothing,
            }
            .into(),
            "restore /srv/aptmerge/x from a backup",
        ),
        (
            SymlinkedDirectory { path: path.clone() }.into(),
            "mount --bind",
        ),
        (
            openpgp::Error::KeyFilePermissions {
                path: path.clone(),
                mode: 0o644,
            }
            .into(),
            "chmod 0600 /srv/aptmerge/x",
        ),
        (
            openpgp::Error::KeyEncrypted {
                path: path.clone(),
                fingerprint: "A".repeat(40),
            }
            .into(),
            "signing.gpg",
        ),
        (
            PublishError::Signing {
                suite: "daedalus".to_owned(),
                source: empty(),
            }
            .into(),
            "signed-by",
        ),
        (
            FetchError::Signature {
                uri: "https://mirror.example/debian".to_owned(),
                looks: None,
                source: Box::new(empty()),
            }
            .into(),
            "signed-by",
        ),
        (
            SpoolError::NoCopy {
                archive: "debian".to_owned(),
                suite: "bookworm".to_owned(),
                source: Arc::new(FetchError::Keyring {
                    files: "debian.gpg".to_owned(),
                    source: Arc::new(empty()),
                }),
            }
            .into(),
            "signed-by",
        ),
        (FetchError::Spool(full()).into(), "free some room"),
        (guarded(shrink()), "run once with --allow-shrink"),
        (
            guarded(Guard::Date {
                new: time,
                published: time,
            }),
            "run once with --allow-older-date",
        ),
        (
            guarded(Guard::Identity {
                field: "Origin",
                from: "a".to_owned(),
                to: "b".to_owned(),
            }),
            "run once with --allow-identity-change",
        ),
        (
            PublishError::NotThere {
                tree: path.clone(),
                path: "main/Contents-amd64".to_owned(),
            }
            .into(),
            "--rebuild",
        ),
        (
            PushError {
                target: "far".to_owned(),
                fault: PushFault::TooMuch,
            }
            .into(),
            "see whether the address is right",
        ),
        (
            Unpublished {
                target: "far".to_owned(),
                suites: ["sid".to_owned()].into(),
            }
            .into(),
            "`aptmerge push --prune far` deletes it",
        ),
        (
            MergeError::Overdue {
                suite: "daedalus".to_owned(),
                span: aptmerge::units::TimeSpan::from_seconds(3600),
            }
            .into(),
            "merge.suite-timeout",
        ),
        (
            Ending {
                suite: "daedalus".to_owned(),
                upstream: "bookworm".to_owned(),
                archive: "debian".to_owned(),
                until: time,
                is_over: true,
            }
            .into(),
            "inherit-valid-until = false for archive `debian`",
        ),
        (CliError::Clock.into(), "timedatectl"),
    ];
    for (error, expected) in errors {
        let hint = of(&error).unwrap_or_default();
        assert!(hint.contains(expected), "{error}: {hint}");
        // The hint is the command line's, and not the error's.
        let text = aptmerge::error::chain(&error);
        assert!(!text.contains("--"), "{text}");
    }
}

#[test]
fn what_could_not_be_finished_has_the_hint_of_its_cause() {
    let hint = of(&Unfinished { source: full() }.into()).unwrap();
    assert!(hint.starts_with("free some room"), "{hint}");
    assert!(
        hint.ends_with("the next run finishes what is left"),
        "{hint}"
    );
    let source = Error::Cancelled;
    let hint = of(&Unfinished { source }.into()).unwrap();
    assert_eq!(hint, "the next run finishes it");
}

#[test]
fn a_warning_has_the_hint_of_its_cause() {
    let warning = |cause: Option<Error>| Warning {
        text: "x".to_owned(),
        cause,
    };
    assert_eq!(behind(&warning(None)), "");
    assert_eq!(behind(&warning(Some(Error::Cancelled))), "");
    assert!(behind(&warning(Some(full()))).starts_with("\n  hint: free some room"));
    let refused = Refused {
        suite: SuiteName::new("daedalus").unwrap(),
        why: guarded(shrink()),
    };
    assert_eq!(
        behind(&warning(Some(refused.into()))),
        " (if that is meant, run once with --allow-shrink)"
    );
}
