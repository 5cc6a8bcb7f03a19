//! What is on disk, and how a volume is read, compared and written. No sockets, no tokio.
//!
//! | question | module |
//! |---|---|
//! | Where do wall time, files and fsync come in? | [`seam`] |
//! | What is on the state volume, and how is each of it recovered? | [`journal`] |
//! | How is a volume read, compared and written? | [`volume`] |

pub mod journal;
pub mod seam;
pub mod volume;
