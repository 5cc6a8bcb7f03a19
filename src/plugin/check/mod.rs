//! `kubectl ferry check`: would a pair work here? Facts are read, findings follow from them.

mod command;
mod facts;
mod finding;
mod findings;
mod storage;

pub(super) use command::{Args, run};
