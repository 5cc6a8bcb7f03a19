//! What a check finds, and how bad it is.

use std::fmt;

/// How bad a finding is; the worst sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// No pair would work.
    Fails,
    /// A pair may not work, or work badly.
    Warns,
    /// It could not be looked at.
    Unknown,
    /// As it should be.
    Passes,
}

impl Level {
    /// Columns that the longest word takes.
    pub(super) const WIDTH: usize = 7;
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Fails => "FAIL",
            Level::Warns => "warning",
            Level::Unknown => "unknown",
            Level::Passes => "ok",
        })
    }
}

/// What was found about one subject.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) subject: String,
    pub(super) message: String,
}

/// A finding.
pub(super) fn finding(level: Level, subject: &str, message: impl Into<String>) -> Finding {
    Finding {
        level,
        subject: subject.into(),
        message: message.into(),
    }
}
