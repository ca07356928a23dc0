//! Hostile upstreams, as a catalogue: what an archive, a mirror or somebody on the way may do, and what becomes of it. Each
//! entry ends in bounded time and memory, names the file and the reason, and leaves the last good state served and verifying.

mod attacks;
mod bystanders;
mod catalogue;
mod claims;
mod deadline;
mod freeze;
mod heavy;
mod identity;
mod indices;
mod names;
mod others;
mod packed;
mod release;
mod signatures;
mod transport;
mod unasked;
mod wire;
mod words;
