//! `ferry demo`: a pair's whole life on two local files, without a cluster and without root.
//!
//! Nothing in it is pretended: two mover processes of this very binary talk TLS over loopback, driven
//! through the control protocol by a small stand-in for the operator. A snapshot is a copy of the
//! volume's file, a list of changes is what the demo has written. Every step is checked by content.
//!
//! | question | file |
//! |---|---|
//! | What happens, in which order? | [`story`] |
//! | How is a mover started and ended? | [`process`] |
//! | How is it asked? | [`driver`] |
//! | What does a site consist of? | [`site`] |
//! | Where do the certificates come from? | [`certificates`] |
//! | What is printed? | [`report`] |

pub mod certificates;
pub mod cli;
pub mod driver;
pub mod process;
pub mod report;
pub mod shipment;
pub mod site;
pub mod story;

pub use cli::{Args, run};
