//! Reads the signatures out of a file, and refuses a file that holds anything else.

use std::io::Read;

use sequoia_openpgp::packet::{Signature, Tag};
use sequoia_openpgp::parse::{PacketParser, PacketParserResult, Parse};
use sequoia_openpgp::{Packet, armor};

use super::error::Cause;
use super::{Error, MAX_SIGNATURES};

/// The two signed forms of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The text with its signatures around it: InRelease.
    pub inline: Vec<u8>,
    /// The signatures alone, in one armor block: Release.gpg.
    pub detached: Vec<u8>,
}

/// The signatures in a file, before anybody asked what they are worth.
pub(super) struct SignatureFile {
    pub(super) readable: Vec<Signature>,
    /// An error for each thing that could not be read as a signature of a known kind.
    pub(super) unreadable: Vec<Error>,
}

impl SignatureFile {
    pub(super) fn armored(blocks: &[&[u8]]) -> Result<Self, Error> {
        let mut packets = Vec::new();
        for block in blocks {
            let kind = armor::ReaderMode::Tolerant(Some(armor::Kind::Signature));
            armor::Reader::from_bytes(block, kind)
                .read_to_end(&mut packets)
                .map_err(|e| Error::UnreadableSignature { source: e.into() })?;
        }
        Self::binary(&packets)
    }

    pub(super) fn binary(packets: &[u8]) -> Result<Self, Error> {
        let mut file = SignatureFile {
            readable: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut parsed = PacketParser::from_bytes(packets).map_err(unreadable)?;
        while let PacketParserResult::Some(parser) = parsed {
            // Looked at before the packet is read, so that nothing is ever unpacked.
            if !matches!(parser.packet.tag(), Tag::Signature | Tag::Marker) {
                return Err(Error::UnreadableSignature {
                    source: format!("a {} packet is among the signatures", parser.packet.tag())
                        .into(),
                });
            }
            let (packet, rest) = parser.next().map_err(unreadable)?;
            match packet {
                Packet::Signature(signature) => file.readable.push(signature),
                Packet::Unknown(unknown) => file.unreadable.push(Error::UnreadableSignature {
                    source: unknown.into_error().into(),
                }),
                _ => {}
            }
            if file.readable.len() + file.unreadable.len() > MAX_SIGNATURES {
                return Err(Error::TooManySignatures {
                    limit: MAX_SIGNATURES,
                });
            }
            parsed = rest;
        }
        Ok(file)
    }
}

pub(super) fn unreadable(source: impl Into<Cause>) -> Error {
    Error::UnreadableSignature {
        source: source.into(),
    }
}
