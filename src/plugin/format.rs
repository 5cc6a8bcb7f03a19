//! Numbers, times and sentences as people read them.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use comfy_table::Table;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Width that output keeps to where nothing else is known, in columns.
const WIDTH: usize = 80;

/// Lines that are longer than this are hard to read, however wide the terminal is.
const WIDTH_MAX: usize = 120;

/// Below this, words would stand alone in their lines.
const WIDTH_MIN: usize = 40;

/// The terminal's width, once it was asked for.
static TERMINAL: OnceLock<usize> = OnceLock::new();

/// Has pages follow the width of the terminal on standard output, if it is one.
pub(super) fn follow_terminal() {
    if let Some(columns) = Table::new().width() {
        let columns = usize::from(columns).clamp(WIDTH_MIN, WIDTH_MAX);
        let _ = TERMINAL.set(columns);
    }
}

/// Columns that a page may take.
pub(super) fn width() -> usize {
    *TERMINAL.get().unwrap_or(&WIDTH)
}

/// A duration on the command line, in the grammar of the spec: `90s`, `10m`, `1h30m`, `1d`.
///
/// # Errors
/// When it is none.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    planner::validate::interval(text)
        .and_then(|span| Duration::try_from(span).ok())
        .with_context(|| format!("{text:?} is not a duration: write it as 90s, 10m, 1h30m or 1d"))
}

/// What stands in a cell that has nothing to show, as in kubectl.
pub(super) const NONE: &str = "<none>";

/// Seconds from `then` to `now`; 0 where clocks disagree about which came first.
pub(super) fn seconds_since(then: &Time, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - then.0.as_second()).unwrap_or(0)
}

/// A span of time with its two largest units, as kubectl writes ages: `42s`, `3m12s`, `5h`, `12d`.
pub(super) fn span(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s => format!("{}d", s / DAY),
    }
}

/// The time since `then`, as [`span`] writes it.
pub(super) fn age(then: &Time, now: Timestamp) -> String {
    span(seconds_since(then, now))
}

/// A moment to the second, in UTC.
pub(super) fn moment(time: &Time) -> String {
    time.0.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes with a binary unit: `17.0 MiB`. Negative numbers, which nobody reports, count as 0.
pub(super) fn bytes(count: i64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut whole = u64::try_from(count).unwrap_or(0);
    let mut tenths = 0;
    let mut unit = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{whole} B"),
        _ => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

/// Milliseconds, in the unit in which they read best: `12ms`, `4.1s`, `3m12s`.
pub(super) fn millis(count: i64) -> String {
    let ms = u64::try_from(count).unwrap_or(0);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..100_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => span(ms / 1_000),
    }
}

/// `done` of `planned` in per cent, never 100 before all is done.
pub(super) fn percent(done: i64, planned: i64) -> Option<i64> {
    if planned <= 0 {
        return None;
    }
    let share = i128::from(done.max(0)) * 100 / i128::from(planned);
    i64::try_from(share.min(if done < planned { 99 } else { 100 })).ok()
}

/// `text` broken into lines of at most `width` columns, each line but the first begun with
/// `indent` spaces. Words that are longer than a line stand alone.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_look_like_kubectls_ages() {
        let seen: Vec<String> = [0, 119, 120, 192, 601, 10_800, 28_800, 180_000, 700_000]
            .into_iter()
            .map(span)
            .collect();
        assert_eq!(
            seen,
            ["0s", "119s", "2m", "3m12s", "10m", "3h", "8h", "2d2h", "8d"]
        );
    }

    #[test]
    fn durations_have_the_grammar_of_the_spec() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        for bad in ["", "m", "-1s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn bytes_and_times_keep_one_decimal() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(17 << 20), "17.0 MiB");
        assert_eq!(bytes(i64::MAX), "8191.9 PiB");
        assert_eq!(bytes(-1), "0 B");
        assert_eq!(millis(12), "12ms");
        assert_eq!(millis(4_120), "4.1s");
        assert_eq!(millis(192_000), "3m12s");
    }

    #[test]
    fn a_hundred_per_cent_means_done() {
        assert_eq!(percent(999, 1000), Some(99));
        assert_eq!(percent(1000, 1000), Some(100));
        assert_eq!(percent(2000, 1000), Some(100));
        assert_eq!(percent(5, 0), None);
        assert_eq!(percent(i64::MAX - 1, i64::MAX), Some(99));
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        let text = "pods web-0 and web-1 still use the claim data";
        let wrapped = wrap(text, 24, 4);
        assert!(wrapped.lines().all(|line| line.len() <= 24), "{wrapped}");
        assert_eq!(
            wrapped.split_whitespace().collect::<Vec<_>>().join(" "),
            text
        );
        assert_eq!(wrap("averyverylongword x", 8, 2), "averyverylongword\n  x");
    }
}
