//! What the logs of one cycle, or of one change of the role, are found by in every process.

use serde::{Deserialize, Serialize};

use crate::control::Request;

/// The longest trace, in bytes.
pub const TRACE_BYTES_MAX: usize = 64;

/// A word that the operator gives with each request. It and both movers write it into their logs, so that
/// one search finds a cycle's lines in all three.
///
/// Lower-case letters, digits, dots and dashes only: it goes into logs as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Trace(String);

/// A text that is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace has 1 to {TRACE_BYTES_MAX} lower-case letters, digits, dots and dashes")]
pub struct NoTrace;

impl TryFrom<String> for Trace {
    type Error = NoTrace;

    fn try_from(text: String) -> Result<Trace, NoTrace> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        match (1..=TRACE_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Trace(text)),
            false => Err(NoTrace),
        }
    }
}

impl From<Trace> for String {
    fn from(trace: Trace) -> String {
        trace.0
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What it belongs to; nothing for a request that belongs to no cycle, such as for the status.
    pub trace: Option<Trace>,
    /// What is asked.
    pub request: Request,
}

impl From<Request> for Asked {
    fn from(request: Request) -> Asked {
        Asked {
            trace: None,
            request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_one_plain_word() {
        let trace = |text: &str| Trace::try_from(text.to_string());
        assert_eq!(trace("9f3a77c1-1.7").unwrap().to_string(), "9f3a77c1-1.7");
        for wrong in ["", "a b", "A", "a\nb", &"a".repeat(TRACE_BYTES_MAX + 1)] {
            assert_eq!(trace(wrong), Err(NoTrace), "{wrong:?}");
        }
    }
}
