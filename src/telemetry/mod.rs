//! Logs. Importable from anywhere above `units`; imports nothing of ours but `units`.

mod logs;

pub use logs::{LOG_FILTER_VAR, LOG_FORMAT_VAR, LogError, init};
