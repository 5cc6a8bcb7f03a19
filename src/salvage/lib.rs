//! Saving what a diverged side holds and nobody else does, before it is discarded.
//!
//! The side's volume is compared with the last image that both sides had in common: with a device
//! made from its snapshot, or with the digests that the side's state volume keeps of it. What
//! differs goes to a sparse file, every byte at its own offset, and a JSON list says which ranges
//! those are. Nothing is ever written to the volume or to the state volume. Depends on `volume`,
//! `journal` and `wire`; the plugin runs it in a pod beside the volume and takes its stream in.
//!
//! | question | file |
//! |---|---|
//! | What is compared with what? | [`source`] |
//! | How do the file and the list come about? | [`export`] |
//! | How does it get out of a pod? | [`stream`] |
//! | What does `ferry salvage` take? | [`cli`] |

pub mod cli;
mod error;
pub mod export;
pub mod source;
pub mod stream;

pub use cli::{Args, run};
pub use error::SalvageError;
pub use export::{Export, Facts, Summary};
