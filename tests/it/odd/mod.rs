//! Odd but legal archives, as a catalogue: what an archive may look like in ways that its maker did not mean, what the installed apt makes
//! of it when it reads the archive itself, and what we make of it.
//!
//! apt is the judge. What apt reads of an archive is published, or one package is left out with a warning; nothing else of the archive is
//! lost. Each entry is a small archive with a package `good` before the odd thing and a package `last` behind it, so that a reader who
//! stops at the odd thing is seen.
//!
//! To add an entry, put it into the list of the file that has its kind, or into a new file with a test that calls
//! [`catalogue::check`]:
//!
//! ```text
//! odd("an underscore in a version", |archive| {
//!     let stanza = archive.binary("odd");
//!     archive.packages(&stanza.replace("1.0", "1.0_beta"));
//! })
//! .reads(&["odd 1.0_beta"])     // by apt, beside `good` and `last`; `src:odd 1.0` is a source
//! .passes()
//! ```
//!
//! 1. The closure makes the archive odd ([`archive::Archive`]): stanzas, files, fields of the Release, the whole text of the Release,
//!    answers of its web server, settings of our configuration.
//! 2. One of [`reads`](catalogue::Entry::reads) and [`apt_refuses`](catalogue::Entry::apt_refuses) says what apt makes of it.
//!    [`cannot_get`](catalogue::Entry::cannot_get) names what apt sees and cannot download, and
//!    [`apt_says`](catalogue::Entry::apt_says) words of its warnings.
//! 3. The last call says what we make of it: [`passes`](catalogue::Entry::passes) (apt sees the same packages of the merged tree, and
//!    can download the same files), [`leaves_out`](catalogue::Entry::leaves_out) (all but these, and our warning has these words), or
//!    [`refuses`](catalogue::Entry::refuses) (nothing is published, with these words).
//!
//! A failure shows what apt saw, so an entry may be begun with a guess.

mod archive;
mod catalogue;
mod filters;
mod paths;
mod releases;
mod servers;
mod shapes;
mod sources;
mod stanzas;
