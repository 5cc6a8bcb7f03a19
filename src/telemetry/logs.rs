//! One subscriber for the process, set up from the environment.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// `json` or `text` (the default).
pub const LOG_FORMAT_VAR: &str = "FERRY_LOG_FORMAT";
/// Directives such as `info,ferry::operator=debug`; `info` when unset.
pub const LOG_FILTER_VAR: &str = "FERRY_LOG";

/// Why logs can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error(
        "failed to read {LOG_FILTER_VAR}={given:?}: {reason}; use directives such as info,ferry::operator=debug"
    )]
    Filter {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The format is unknown.
    #[error("{LOG_FORMAT_VAR}={0:?} is neither json nor text")]
    Format(String),
    /// Somebody has set up logs already.
    #[error("logs are set up already")]
    Twice,
}

enum Format {
    Text,
    Json,
}

/// Sets up logs on stderr for this process, from [`LOG_FORMAT_VAR`] and [`LOG_FILTER_VAR`].
///
/// # Errors
/// When either variable can't be read, or logs are set up already.
pub fn init() -> Result<(), LogError> {
    let filter = filter(std::env::var(LOG_FILTER_VAR).ok().as_deref())?;
    let format = format(std::env::var(LOG_FORMAT_VAR).ok().as_deref())?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(layer.compact().with_ansi(colours)).try_init()
        }
    }
    .map_err(|_| LogError::Twice)
}

fn filter(given: Option<&str>) -> Result<EnvFilter, LogError> {
    let given = given.filter(|text| !text.is_empty()).unwrap_or("info");
    EnvFilter::try_new(given).map_err(|e| LogError::Filter {
        given: given.into(),
        reason: e.to_string(),
    })
}

fn format(given: Option<&str>) -> Result<Format, LogError> {
    match given {
        None | Some("" | "text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(LogError::Format(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_is_named() {
        assert!(filter(None).is_ok());
        assert!(filter(Some("info,ferry::operator=debug")).is_ok());
        let error = filter(Some("ferry=loud")).unwrap_err().to_string();
        assert!(error.contains("ferry=loud"), "{error}");
        assert!(matches!(format(None), Ok(Format::Text)));
        assert!(matches!(format(Some("json")), Ok(Format::Json)));
        let error = format(Some("xml")).err().unwrap().to_string();
        assert!(error.contains("xml"), "{error}");
    }
}
