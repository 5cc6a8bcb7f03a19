//! What is on disk, and how a volume is read, compared and written. No sockets, no tokio.
//!
//! | question | module |
//! |---|---|
//! | Where do wall time, files and fsync come in? | [`seam`] |
//! | What is on the state volume, and how is each of it recovered? | [`journal`] |
//! | What do the bytes on the state volume mean, format by format? | `formats` |
//! | How is a volume read, compared and written? | [`volume`] |

mod formats;
pub mod journal;
pub mod seam;
pub mod volume;
