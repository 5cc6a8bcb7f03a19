//! Everything that the operator decides. Pure: it sees plain data and a given time, and returns the
//! status to record and what to do. No client, no tokio, no clock, no randomness.
//!
//! | question | module |
//! |---|---|
//! | What was observed? | [`observe`] |
//! | Does the spec make sense together with what it names? | [`validate`] |
//! | What is recorded and done next? | [`decide`] |
//! | What objects are made from it? | [`render`] |
//! | How does the role move? | [`decide::switch`] |
//! | What is a site to become, and how does it get there? | [`site`] |
//! | Which of these rules can be broken for a test? | [`mutations`] |
//! | Which request of people counts? | [`requests`] |
//! | Which claim is bound to which volume? | [`rebind`] |
//! | When are the two images compared? | [`decide::verify`] |
//! | What of a deleted pair may go? | [`teardown`] |
//! | What do people read in the status and in Events? | [`publish`] |

pub mod decide;
pub mod mutations;
pub mod observe;
pub mod publish;
pub mod rebind;
pub mod render;
pub mod requests;
pub mod site;
pub mod teardown;
pub mod validate;
