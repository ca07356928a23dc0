//! The certificates that an archive is reached with: authorities besides those of the system, and one of our own.
//!
//! The client of HTTP panics over a certificate and a key that do not belong together, so they are tried here first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// The most bytes of a file of certificates or keys; the system's own file of all authorities has a quarter of a megabyte.
const MAX_BYTES: u64 = 8 << 20;

/// The files, all in PEM form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of authorities that are trusted besides those of the system.
    pub authorities: Vec<PathBuf>,
    /// Our certificate, with those that lead from it to an authority.
    pub certificate: Option<PathBuf>,
    /// Its private key; in the same file if it is not set.
    pub key: Option<PathBuf>,
}

/// The reason why a file of certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file has no certificate in PEM form.
    #[error("{} has no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate is broken.
    #[error("{} has a certificate that cannot be used", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The error of the library.
        source: rustls::Error,
    },
    /// The file has no private key in PEM form.
    #[error("{} has no private key in PEM form{}", path.display(), encrypted(*.is_encrypted))]
    NoKey {
        /// The file.
        path: PathBuf,
        /// `true` if it has one with a passphrase.
        is_encrypted: bool,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error("{} and {} cannot be used together", certificate.display(), key.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The error of the library.
        source: rustls::Error,
    },
}

fn encrypted(is_encrypted: bool) -> &'static str {
    match is_encrypted {
        true => " without a passphrase",
        false => "",
    }
}

impl TlsFiles {
    /// Reads the files, and finds out whether they can be used.
    pub fn check(&self) -> Result<(), TlsFileError> {
        self.load().map(drop)
    }

    /// Returns how connections are made.
    pub(super) fn load(&self) -> Result<TlsConfig, TlsFileError> {
        let mut roots = Vec::new();
        for path in &self.authorities {
            let certificates = certificates(path)?;
            for certificate in &certificates {
                let added = RootCertStore::empty().add(certificate.clone());
                added.map_err(|source| TlsFileError::Broken {
                    path: path.clone(),
                    source,
                })?;
            }
            roots.extend(certificates);
        }
        let roots = match roots.is_empty() {
            true => RootCerts::PlatformVerifier,
            false => {
                roots.extend(rustls_native_certs::load_native_certs().certs);
                let roots = roots
                    .iter()
                    .map(|root| Certificate::from_der(root).to_owned());
                RootCerts::from(roots)
            }
        };
        Ok(TlsConfig::builder()
            .root_certs(roots)
            .client_cert(self.own()?)
            .build())
    }

    fn own(&self) -> Result<Option<ClientCert>, TlsFileError> {
        let Some(path) = &self.certificate else {
            return Ok(None);
        };
        let chain = certificates(path)?;
        let key_path = self.key.as_ref().unwrap_or(path);
        let text = read(key_path)?;
        let no_key = || TlsFileError::NoKey {
            path: key_path.clone(),
            is_encrypted: memchr::memmem::find(&text, b"ENCRYPTED").is_some(),
        };
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| no_key())?;
        let provider = Arc::new(ring::default_provider());
        let tried = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_root_certificates(RootCertStore::empty());
                builder.with_client_auth_cert(chain.clone(), key)
            });
        tried.map_err(|source| TlsFileError::Unfit {
            certificate: path.clone(),
            key: key_path.clone(),
            source,
        })?;
        let chain: Vec<_> = chain
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let key = PrivateKey::from_pem(&text).map_err(|_| no_key())?;
        Ok(Some(ClientCert::new_with_certs(&chain, key)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    match certificates.is_empty() {
        true => Err(TlsFileError::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(certificates),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let read = crate::durable::open_regular(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(TlsFileError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The reason why a server and we do not come to terms about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// Nobody who is trusted vouches for the server's certificate.
    #[error("no authority that is trusted here signed its certificate")]
    UnknownIssuer,
    /// The server's certificate is past its time.
    #[error("its certificate has expired")]
    Expired,
    /// The server's certificate is before its time.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The server's certificate is another host's.
    #[error("its certificate is for another host")]
    OtherName,
    /// The server's certificate says that it is an authority's own.
    #[error("its certificate is that of an authority, and not of a server")]
    Authority,
    /// The server's certificate is refused for another reason.
    #[error("its certificate is refused")]
    Certificate,
    /// The server wants a certificate of ours, or refuses the one that it got.
    #[error("it refuses us for our certificate, or for the lack of one")]
    OwnCertificate,
    /// No version and no cipher is common to both.
    #[error("it knows no version and no cipher of TLS that is known here")]
    NothingInCommon,
    /// The server does not speak TLS.
    #[error("it does not speak TLS at this port")]
    NoTls,
    /// The system has no authorities.
    #[error("this system trusts no authority at all")]
    NoAuthorities,
    /// Anything else.
    #[error("the exchange broke off")]
    Other,
}

impl TlsFault {
    /// Finds the fault in an error of the client; `None` if that is not about TLS.
    pub(super) fn of(error: &ureq::Error) -> Option<Self> {
        let error = match error {
            ureq::Error::Rustls(error) => error,
            ureq::Error::Tls(_) => return Some(Self::Other),
            ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
            _ => return None,
        };
        Some(match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NoTls,
            rustls::Error::General(text) if text.contains("No CA certificates") => {
                Self::NoAuthorities
            }
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon,
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::OwnCertificate,
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity => Self::NothingInCommon,
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            // The library has no name of its own for this one.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Self::Authority
            }
            _ => Self::Certificate,
        }
    }
}
