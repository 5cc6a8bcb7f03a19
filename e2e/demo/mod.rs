//! `make demo`: a person watches a real application's volume being replicated, switched, failed over
//! and failed back.

pub mod goals;
pub mod life;
pub mod measure;
pub mod show;
pub mod teller;
