//! Hints for errors of fetching, and of what was fetched.

use aptmerge::fetch::transport::{self, TlsFault, TlsFileError};
use aptmerge::fetch::{FetchError, Looks, SpoolError};
use aptmerge::uri::{Scheme, UriError};

use super::openpgp;

pub(super) fn spool(error: &SpoolError) -> Option<String> {
    Some(match error {
        SpoolError::NoCopy { source, .. } => return fetch(source),
        SpoolError::NotFetched { .. } => "run `aptmerge fetch`, or `aptmerge run`".into(),
        SpoolError::NotProven { archive, .. } => format!(
            "mend the keyring of `archives.{archive}.signed-by`, or fetch a Release that it can verify"
        ),
        SpoolError::Damaged { .. } => {
            "the damaged file was removed; the next run fetches it again".into()
        }
        _ => return None,
    })
}

pub(super) fn fetch(error: &FetchError) -> Option<String> {
    let hint = match error {
        FetchError::EveryUri(errors) => return errors.iter().find_map(|(_, error)| fetch(error)),
        FetchError::Transport(error) => return transport(error),
        FetchError::NoTransport(error) => return transport(error),
        FetchError::Uri(error) => return uri(error),
        FetchError::Signature {
            looks: Some(looks), ..
        } => return Some(instead(*looks)),
        FetchError::Unlike { looks, .. } => return Some(instead(*looks)),
        FetchError::Signature { source, .. } => return openpgp::hint(source),
        FetchError::Keyring { source, .. } => return openpgp::hint(source),
        FetchError::Spool(error) => return super::of(error),
        FetchError::Missing {
            is_refused: true, ..
        } => {
            "if the archive has the file, look at its permissions there; if it wants a user and a password, put them into the URI"
        }
        FetchError::Stale { .. } => {
            "the mirror or the archive has stopped being updated; to replay old data on purpose, take max-age out of the archive"
        }
        FetchError::Expired { .. } => {
            "the mirror or the archive has stopped being updated; to replay old data on purpose, set check-valid-until = false for the archive"
        }
        FetchError::TooLate { .. } => {
            "look at the mirror, or raise fetch.suite-timeout where the way to it is slow"
        }
        FetchError::Behind { .. } => {
            "a mirror lags, or is in the middle of its own sync; if the archive went back on purpose, remove the suite's file below spool/"
        }
        FetchError::Future { .. } => "check the clock of this machine",
        FetchError::Identity { .. } => {
            "if the archive announced that change, run once with --allow-identity-change"
        }
        FetchError::OtherSuite {
            archive,
            suite,
            codename,
            expected,
            ..
        } => {
            let called = suite.as_ref().or(codename.as_ref());
            return Some(format!(
                "check `from` of the suites that use it; if the archive calls it so on purpose, set called = \"{}\" in {}",
                called.map_or("", |name| name),
                table_of_suite(archive, expected)
            ));
        }
        FetchError::UnknownExpiry { .. } => {
            "if the archive has no Valid-Until that apt can read, set check-valid-until = false for the archive"
        }
        FetchError::Undated { archive, suite, .. } => {
            return Some(format!(
                "if the archive has no Date that apt can read, set may-be-undated = true in {}: the time of the signature then stands for it",
                table_of_suite(archive, suite)
            ));
        }
        FetchError::SameDate { archive, .. } => {
            return Some(format!(
                "its next Release of a later Date is taken; if the archive may publish twice within a second, set may-repeat-date = true in [archives.{archive}]"
            ));
        }
        FetchError::NoRelease { .. } => {
            "check `uris` and `from`; where the archive's own line for apt ends with a slash, `deb URI ./`, it is flat: set `flat` in [archives.NAME.suites.SUITE]"
        }
        FetchError::NothingWanted { .. } => {
            "check `components`, `architectures` and `indices`, general and of the archive, against what its Release lists"
        }
        FetchError::TooManyWanted { .. } => {
            "name the `languages` that are wanted, or narrow `indices` of the archive"
        }
        FetchError::Rollback { .. } => {
            "if the archive went back on purpose, remove the suite's file below spool/, which remembers what was seen"
        }
        FetchError::TooMuchMemory { .. } => {
            "if that archive is to be so large and this machine has the memory, raise fetch.max-memory"
        }
        FetchError::Index { .. } | FetchError::LongField { .. } => {
            "tell the archive's maintainers; its next Release is tried as usual"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn transport(error: &transport::Error) -> Option<String> {
    use transport::Error;
    let hint = match error {
        Error::Denied { status: 407, .. } | Error::Tunnel { status: 407, .. } => {
            "put a user and a password that the proxy knows into its URI: http://USER:PASSWORD@PROXY:PORT"
        }
        Error::Tunnel {
            status: 400..500, ..
        } => {
            "the proxy must allow CONNECT to that host and port; `proxy = \"direct\"` of the archive goes without one"
        }
        Error::Tunnel { .. } => "the proxy cannot reach that host; look at its log",
        Error::Tls { fault, .. } => return tls(*fault),
        Error::TlsFile(error) => return tls_file(error),
        Error::Status {
            uri, status: 400, ..
        } if uri.scheme() == Scheme::Https => {
            "nginx answers so where it wants a certificate of ours: set client-certificate and client-key of the archive"
        }
        Error::Proxy { .. } => {
            "mend or unset the variable, or set fetch.proxy, which goes before it"
        }
        Error::Unreachable { route, .. } if route.has_proxy() => {
            "look whether the proxy runs; it comes from `proxy` of the archive, fetch.proxy or the environment"
        }
        Error::Denied {
            status: 403,
            credentials: false,
            ..
        } => {
            "object stores answer so for what is not there: check the URI and `from`; if the archive wants a user and a password, put them into the URI: https://USER:PASSWORD@HOST/"
        }
        Error::Denied {
            credentials: false, ..
        } => {
            "if the archive wants a user and a password, put them into the URI: https://USER:PASSWORD@HOST/"
        }
        Error::Denied { .. } => "check the user and the password in the URI",
        Error::Redirect { source, .. } => return uri(source),
        Error::RedirectLoop { .. } => "try the URI that the archive's own documentation gives",
        Error::NotRegular { .. } => "a file: URI names the directory that holds dists/",
        Error::TooSlow { .. } | Error::Unreachable { .. } => {
            "give the archive a second URI to fall back on"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns what to do where a file of another kind came.
fn instead(looks: Looks) -> String {
    match looks {
        Looks::Markup => {
            "a network that wants a log-in first, a proxy that refuses and a server that shows its errors as pages answer so: look at the file with curl from this machine"
        }
        Looks::Text => {
            "a server or a proxy on the way unpacks what it sends, or the signature was taken off: compare with another mirror"
        }
        Looks::Empty => "the server has lost its content, or its disk was full: tell its maintainers",
        _ => {
            "a server or a proxy on the way packs what it sends, whatever the client asks for: that has to be switched off there"
        }
    }
    .to_owned()
}

fn tls(fault: TlsFault) -> Option<String> {
    let hint = match fault {
        TlsFault::UnknownIssuer => {
            "name the certificate of its authority in ca-file of the archive, or install it for the whole system; if the server should be known to all, it may leave out certificates between its own and the authority, or somebody on the way breaks the connection up"
        }
        TlsFault::Expired => {
            "look at the clock of this machine; if it is right, the server's certificate has to be renewed there"
        }
        TlsFault::NotYetValid => "look at the clock of this machine",
        TlsFault::OtherName => {
            "use the name that the certificate is for; a network that wants a log-in first answers so as well"
        }
        TlsFault::Authority => {
            "have the certificate made anew for a server (basicConstraints CA:FALSE), signed by itself or by an authority, and name the one who signed it in ca-file"
        }
        TlsFault::OwnCertificate => {
            "set client-certificate and client-key of the archive to a pair that the server knows"
        }
        TlsFault::NoTls => "check scheme and port of the URI",
        TlsFault::NoAuthorities => {
            "install the package ca-certificates, or set ca-file of the archive"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn tls_file(error: &TlsFileError) -> Option<String> {
    let hint = match error {
        TlsFileError::NoCertificate { .. } => {
            "a file in DER form is converted by: openssl x509 -inform der -in FILE -out FILE.pem"
        }
        TlsFileError::NoKey {
            is_encrypted: true, ..
        } => {
            "take the passphrase off: openssl pkey -in FILE -out FILE.plain; then let the user of aptmerge alone read it"
        }
        TlsFileError::NoKey { .. } => "set client-key of the archive to the file that has it",
        TlsFileError::Unreadable { .. } => "the user that runs aptmerge must be able to read it",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn uri(error: &UriError) -> Option<String> {
    let hint = match error {
        UriError::Scheme { .. } => "fetching knows http, https and file",
        UriError::Path { .. } => "write other characters percent-encoded, a blank as %20",
        UriError::Downgrade => "use the http URI itself if that is what you want",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the table that holds the settings of a suite of an archive, as one writes it in the configuration.
fn table_of_suite(archive: &str, suite: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let key = |name: &str| match name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => format!("\"{name}\""),
    };
    format!("[archives.{}.suites.{}]", key(archive), key(suite))
}
