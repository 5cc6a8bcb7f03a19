//! Logs. Set up once, by each program.

mod logs;

pub use logs::init;
