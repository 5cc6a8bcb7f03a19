//! Everything that the operator decides. Pure: it sees plain data and a given time, and returns the
//! status to record and what to do. No client, no tokio, no clock, no randomness.
//!
//! | question | module |
//! |---|---|
//! | What was observed? | [`observe`] |
//! | Does the spec make sense together with what it names? | [`validate`] |
//! | What is recorded and done next? | [`decide`] |
//! | What objects are made from it? | [`render`] |
//! | How does the role move? | [`switch`], [`promote`], [`demote`] |
//! | Which claim is bound to which volume? | [`rebind`] |
//! | When are the two images compared? | [`verify`] |
//! | What do people read in the status and in Events? | [`publish`] |

pub mod decide;
pub mod demote;
pub mod observe;
pub mod promote;
pub mod publish;
pub mod rebind;
pub mod render;
pub mod switch;
pub mod validate;
pub mod verify;
