//! The schedule over days, nights, and the days on which the clock is changed.

use super::*;
use crate::api::v1alpha1::BandwidthWindow;

const MIB: u64 = 1 << 20;

fn spec(zone: &str, windows: &[(&str, &str, Option<&str>)]) -> TransferSpec {
    let windows = windows.iter().map(|(from, to, bandwidth)| BandwidthWindow {
        from: (*from).into(),
        to: (*to).into(),
        bandwidth: bandwidth.map(String::from),
    });
    TransferSpec {
        bandwidth: Some("10Mi".into()),
        bandwidth_schedule: windows.collect(),
        time_zone: Some(zone.into()),
        ..TransferSpec::default()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The rate at each of the moments at which it changes, from `from` on, until `to`.
fn changes(spec: &TransferSpec, from: &str, to: &str) -> Vec<(String, Option<u64>)> {
    let mut seen: Vec<(String, Option<u64>)> = Vec::new();
    let mut now = at(from);
    while now < at(to) {
        let limit = limit(spec, now);
        if seen
            .last()
            .is_none_or(|(_, last)| *last != limit.bytes_per_second)
        {
            seen.push((now.to_string(), limit.bytes_per_second));
        }
        now = limit.until.unwrap();
    }
    seen
}

/// What [`changes`] says has to be what asking every minute says.
fn assert_by_the_minute(spec: &TransferSpec, from: &str, to: &str) {
    let announced = changes(spec, from, to);
    let mut seen: Vec<(String, Option<u64>)> = Vec::new();
    let mut now = at(from);
    while now < at(to) {
        let rate = limit(spec, now).bytes_per_second;
        if seen.last().is_none_or(|(_, last)| *last != rate) {
            seen.push((now.to_string(), rate));
        }
        now = now.checked_add(1.minutes()).unwrap();
    }
    assert_eq!(announced, seen);
}

#[test]
fn a_window_over_midnight_is_open_at_night_only() {
    let spec = spec("UTC", &[("22:00", "06:00", Some("1Gi"))]);
    let rates = changes(&spec, "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z");
    let expected = [
        ("2026-03-01T12:00:00Z", 10 * MIB),
        ("2026-03-01T22:00:00Z", 1024 * MIB),
        ("2026-03-02T06:00:00Z", 10 * MIB),
    ];
    assert_eq!(
        rates,
        expected.map(|(when, rate)| (when.to_string(), Some(rate)))
    );
}

#[test]
fn the_first_window_that_is_open_wins_and_one_without_a_rate_lifts_the_limit() {
    let windows = [("09:00", "17:00", Some("5Mi")), ("00:00", "12:00", None)];
    let spec = spec("UTC", &windows);
    let rate = |time: &str| limit(&spec, at(&format!("2026-03-01T{time}:00Z"))).bytes_per_second;
    assert_eq!(rate("08:59"), None);
    assert_eq!(rate("09:00"), Some(5 * MIB));
    assert_eq!(rate("16:59"), Some(5 * MIB));
    assert_eq!(rate("17:00"), Some(10 * MIB));
}

#[test]
fn without_a_schedule_nothing_ever_changes() {
    let plain = TransferSpec {
        bandwidth: Some("10Mi".into()),
        ..TransferSpec::default()
    };
    let limit = limit(&plain, at("2026-03-01T00:00:00Z"));
    assert_eq!(
        limit,
        Limit {
            bytes_per_second: Some(10 * MIB),
            until: None
        }
    );
}

#[test]
fn a_zone_counts_by_its_own_clock() {
    // Madrid is an hour ahead of UTC in winter and two in summer.
    let spec = spec("Europe/Madrid", &[("22:00", "06:00", Some("1Gi"))]);
    let winter = changes(&spec, "2026-01-10T12:00:00Z", "2026-01-11T12:00:00Z");
    assert_eq!(winter[1].0, "2026-01-10T21:00:00Z");
    let summer = changes(&spec, "2026-07-10T12:00:00Z", "2026-07-11T12:00:00Z");
    assert_eq!(summer[1].0, "2026-07-10T20:00:00Z");
}

#[test]
fn when_the_clock_leaps_forward_a_window_that_begins_in_the_gap_begins_at_its_end() {
    // In Madrid 02:00 becomes 03:00 on 2026-03-29 at 01:00 UTC.
    let spec = spec("Europe/Madrid", &[("02:30", "04:00", Some("1Gi"))]);
    let rates = changes(&spec, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
    let moments: Vec<&str> = rates.iter().map(|(when, _)| when.as_str()).collect();
    assert_eq!(
        moments,
        [
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T02:00:00Z"
        ]
    );
    let night = self::spec("Europe/Madrid", &[("22:00", "06:00", Some("1Gi"))]);
    let rates = changes(&night, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    // Seven hours instead of eight.
    assert_eq!(rates[1].0, "2026-03-28T21:00:00Z");
    assert_eq!(rates[2].0, "2026-03-29T04:00:00Z");
}

#[test]
fn when_the_clock_falls_back_an_hour_counts_twice() {
    // In Madrid 03:00 becomes 02:00 on 2026-10-25 at 01:00 UTC.
    let spec = spec("Europe/Madrid", &[("02:15", "02:45", Some("1Gi"))]);
    let rates = changes(&spec, "2026-10-25T00:00:00Z", "2026-10-25T06:00:00Z");
    let moments: Vec<&str> = rates.iter().map(|(when, _)| when.as_str()).collect();
    assert_eq!(
        moments,
        [
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:15:00Z",
            "2026-10-25T00:45:00Z",
            "2026-10-25T01:15:00Z",
            "2026-10-25T01:45:00Z"
        ]
    );
}

#[test]
fn what_is_announced_is_what_asking_every_minute_says() {
    let windows = [
        ("02:30", "04:00", Some("1Gi")),
        ("22:00", "01:59", None),
        ("08:00", "17:30", Some("3Mi")),
    ];
    for zone in [
        "Europe/Madrid",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "UTC",
    ] {
        let spec = spec(zone, &windows);
        for (from, to) in [
            ("2026-03-07T00:00:00Z", "2026-03-09T12:00:00Z"),
            ("2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z"),
            ("2026-04-04T00:00:00Z", "2026-04-06T00:00:00Z"),
            ("2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z"),
            ("2026-12-31T00:00:00Z", "2027-01-02T00:00:00Z"),
        ] {
            assert_by_the_minute(&spec, from, to);
        }
    }
}

#[test]
fn what_can_not_be_read_is_named_and_the_plain_limit_holds() {
    for (zone, window, named) in [
        ("Mars/Olympus", ("22:00", "06:00", None), "timeZone"),
        ("UTC", ("24:00", "06:00", None), "from"),
        ("UTC", ("22:00", "6 pm", None), "to"),
        ("UTC", ("22:00", "22:00", None), "length"),
        ("UTC", ("22:00", "06:00", Some("many")), "bandwidth"),
    ] {
        let spec = spec(zone, &[window]);
        let said = problem(&spec).unwrap();
        assert!(said.contains(named), "{said}");
        let limit = limit(&spec, at("2026-03-01T00:00:00Z"));
        assert_eq!(limit.bytes_per_second, Some(10 * MIB));
    }
    assert_eq!(
        problem(&spec("UTC", &[("22:00", "06:00", Some("1Gi"))])),
        None
    );
}
