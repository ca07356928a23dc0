//! Publish: builds a generation in volatile, checks it as a client would, swaps the link, syncs production, swaps back.
//!
//! Each step's result can be made only by the step before it, so a generation that was not checked cannot be published:
//! [`Plan`] → [`Staged`] → [`Checked`] → [`Swapped`] → [`Published`].
//!
//! Why no client meets a half-made state:
//!
//! - Before the swap, only volatile is written, and the link does not point there. Recovery comes first in every run, so this
//!   holds after a crash as well.
//! - The swap is one rename(2) of a fresh symlink. Everything that the symlink leads to was forced to the disk before.
//! - While production is brought up to date, the link is at volatile, which nobody writes.
//! - A published file is never written in place: production's files are hard links to volatile's, and both are replaced by
//!   rename, so a transfer that has begun ends with the bytes that it began with.
//! - A client that read InRelease before the swap finds the indices that it names under by-hash afterwards: every generation
//!   carries those of the generations before it, for as long as the configuration says.
//!
//! The time stamp of a file is the Date that its suite got when the file was made, and the Date of a suite grows by at least a whole second
//! whenever the suite is made anew. So a file that changed has a later time than it had, the quick check of rsync sees every change, and
//! the same inputs and clock give the same files. Dates grow for each suite by itself: two suites may have the same.
//!
//! The module `refused` explains why no archive keeps suites back that are not made from it. The module `trees` explains which suites stay
//! in the trees as they are, and why that is safe; the module `mend`, how a tree is mended that somebody damaged.
//!
//! A crash before the swap leaves a volatile that the next run throws away, since nothing is on record of it. A crash between the swaps
//! leaves the link at a volatile that is complete; the next run checks that it still is, and finishes from there ([`recover`]). A crash
//! after that leaves nothing to do.

mod by_hash;
mod changes;
mod check;
mod checkpoints;
mod compare;
mod differ;
mod error;
mod file_check;
mod files;
mod foreseen;
mod hard_links;
mod head;
mod kept;
mod known;
mod lines;
mod link;
mod look;
mod mend;
mod outline;
mod own;
mod patched;
mod patches;
mod plan;
mod pool;
mod proof;
mod readback;
mod recorded;
mod refused;
mod release;
mod settings;
mod stage;
mod suite;
mod trees;
mod validity;
mod whole;
mod writer;

pub use check::{CheckOptions, TreeReport, check_tree};
pub use error::{Ending, Guard, PublishError};
pub use foreseen::Foreseen;
pub use link::{Served, recover, served};
pub use mend::{Mended, Repaired, inspect, mend};
pub(crate) use own::OwnFiles;
pub use plan::{Action, Allowances, Plan};
pub use recorded::{RecordReport, compare_with_record};
pub use refused::Refused;
pub use settings::Settings;
pub(crate) use settings::{Guards, Retention};
pub use stage::{Checked, Published, StageOptions, Staged, Swapped};
