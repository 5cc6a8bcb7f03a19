//! The spec, read into numbers and names.

use jiff::{SignedDuration, Timestamp};

use crate::observe::Observed;
use crate::validate::{Problem, bandwidth, snapshot_class};
use api::v1alpha1::{CompressionSpec, HookSpec, ReplicationPairSpec, VerifySpec};
use protocol::units::SiteName;
use wire::control::{Compression, Transfer};

/// The shortest interval: below it, snapshots and pods would cost more than the copy.
pub const INTERVAL_MIN: SignedDuration = SignedDuration::from_secs(10);

/// The lowest rate of a verification: below it, the movers would take each other for stalled.
pub const VERIFY_RATE_MIN: u64 = 1 << 20;

/// The shortest interval of verifications.
const VERIFY_INTERVAL_MIN: SignedDuration = SignedDuration::from_mins(1);

/// The interval that stands in for one that can't be read; no new cycle starts then anyway.
const INTERVAL_FALLBACK: SignedDuration = SignedDuration::from_mins(5);

/// What stands in for a `roleChangeTimeout` that can't be read.
const ROLE_CHANGE_TIMEOUT_FALLBACK: SignedDuration = SignedDuration::from_mins(2);

/// The shortest wait before a planned move of the role is cancelled: below it, no pod would have ended.
const ROLE_CHANGE_TIMEOUT_MIN: SignedDuration = SignedDuration::from_secs(10);

/// What the later steps go by. After validation nobody reads the spec for these.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// From cut to cut.
    pub interval: SignedDuration,
    /// How to send.
    pub transfer: Transfer,
    /// When the bandwidth in `transfer` may be another one; `None` when never.
    pub bandwidth_until: Option<Timestamp>,
    /// Size of a state claim, when the spec says it.
    pub state_volume_bytes: Option<u64>,
    /// The sites, in the order of the spec.
    pub sites: Vec<SiteSettings>,
    /// When and how fast the images are compared.
    pub verify: Verification,
    /// Hooks round a cut.
    pub hooks: Vec<HookSpec>,
    /// The longest that a planned move of the role may stand still.
    pub role_change_timeout: SignedDuration,
}

/// When and how fast the images are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    /// From the end of one to the beginning of the next; `None` for on demand only.
    pub interval: Option<SignedDuration>,
    /// The most bytes a second that each side reads.
    pub rate: u64,
}

/// What is used at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSettings {
    /// The site.
    pub name: SiteName,
    /// Storage class of the claims made here; `None` for the cluster's default.
    pub storage_class: Option<String>,
    /// Snapshot class; `None` where no snapshot can be taken.
    pub snapshot_class: Option<String>,
}

impl Settings {
    /// What is used at the site called `name`.
    #[must_use]
    pub fn site(&self, name: &SiteName) -> Option<&SiteSettings> {
        self.sites.iter().find(|site| &site.name == name)
    }
}

/// The settings of `observed`, with fall-backs where the spec can't be read; that is a problem of its
/// own, found by the checks.
#[must_use]
pub(super) fn settings(observed: &Observed) -> Settings {
    let spec = &observed.pair.spec;
    let limit = bandwidth::limit(&spec.transfer, observed.now);
    Settings {
        interval: interval(&spec.snapshot.interval).unwrap_or(INTERVAL_FALLBACK),
        transfer: transfer(spec, limit.bytes_per_second),
        bandwidth_until: limit.until,
        state_volume_bytes: spec
            .transfer
            .state_volume_size
            .as_deref()
            .and_then(|t| bytes(t).ok()),
        sites: observed
            .sites
            .iter()
            .map(|site| SiteSettings {
                name: site.name.clone(),
                storage_class: site.storage_class.as_ref().map(|class| class.name.clone()),
                snapshot_class: snapshot_class::usable(observed, site),
            })
            .collect(),
        verify: verification(&spec.verify),
        hooks: spec.quiesce.hooks.clone(),
        role_change_timeout: interval(&spec.role_change_timeout)
            .unwrap_or(ROLE_CHANGE_TIMEOUT_FALLBACK)
            .max(ROLE_CHANGE_TIMEOUT_MIN),
    }
}

fn verification(spec: &VerifySpec) -> Verification {
    Verification {
        interval: spec.interval.as_deref().and_then(interval),
        rate: bytes(&spec.rate).unwrap_or(VERIFY_RATE_MIN),
    }
}

fn transfer(spec: &ReplicationPairSpec, bytes_per_second: Option<u64>) -> Transfer {
    let stall_s = u64::try_from(spec.transfer.stall_timeout_seconds)
        .unwrap_or(60)
        .clamp(5, 3600);
    Transfer {
        bytes_per_second,
        compression: match spec.transfer.compression {
            CompressionSpec::Off => Compression::Off,
            CompressionSpec::Lz4 => Compression::Lz4,
            CompressionSpec::Zstd => Compression::Zstd,
            CompressionSpec::Auto => Compression::Auto,
        },
        stall_timeout_ms: stall_s * 1000,
    }
}

/// A duration such as `1d`, `1h30m`, `5m` or `30s`: numbers with a unit, largest unit first.
#[must_use]
pub fn interval(text: &str) -> Option<SignedDuration> {
    let mut total: i64 = 0;
    let mut number: Option<i64> = None;
    let mut smallest_unit = i64::MAX;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let so_far = number.unwrap_or(0);
            number = Some(so_far.checked_mul(10)?.checked_add(i64::from(digit))?);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if unit >= smallest_unit {
            return None;
        }
        smallest_unit = unit;
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && smallest_unit != i64::MAX).then(|| SignedDuration::from_secs(total))
}

/// A quantity such as `200Mi`, in whole bytes and above zero.
///
/// # Errors
/// With a sentence, when it is no quantity or not above zero.
pub fn bytes(text: &str) -> Result<u64, String> {
    let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_string());
    quantity_bytes(&quantity)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            format!("{text:?} is not an amount of bytes above zero; write it as 200Mi or 2Gi")
        })
}

/// A Kubernetes quantity in whole bytes, rounded up; `None` when it is none or negative.
#[must_use]
pub fn quantity_bytes(
    quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity,
) -> Option<u64> {
    let text = quantity.0.trim();
    let split = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || *c == '.'))
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = text.split_at(split);
    let factor: u128 = match suffix {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "m" => return number.parse::<u64>().ok().map(|milli| milli.div_ceil(1000)),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 18 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    u64::try_from(digits.checked_mul(factor)?.div_ceil(scale)).ok()
}

/// What can't be read in the spec's numbers.
pub(super) fn numbers(spec: &ReplicationPairSpec) -> Option<Problem> {
    use api::Reason;
    let text = &spec.snapshot.interval;
    match interval(text) {
        Some(given) if given >= INTERVAL_MIN => {}
        Some(_) => {
            return Some(Problem::new(
                Reason::IntervalTooShort,
                format!(
                    "spec.snapshot.interval is {text}, and the shortest is 10s: set it to 10s or more"
                ),
            ));
        }
        None => {
            return Some(Problem::new(
                Reason::IntervalTooShort,
                format!(
                    "spec.snapshot.interval {text:?} is not a duration: write it as 30s, 5m, 1h30m or 1d"
                ),
            ));
        }
    }
    let amounts = [
        (
            "spec.transfer.bandwidth",
            spec.transfer.bandwidth.as_deref(),
        ),
        (
            "spec.transfer.stateVolumeSize",
            spec.transfer.state_volume_size.as_deref(),
        ),
    ];
    let amount = amounts.into_iter().find_map(|(field, text)| {
        let message = bytes(text?).err()?;
        Some(format!("{field} {message}"))
    });
    amount
        .or_else(|| bandwidth::problem(&spec.transfer))
        .or_else(|| verify_problem(&spec.verify))
        .map(|message| Problem::new(Reason::QuantityInvalid, message))
}

fn verify_problem(spec: &VerifySpec) -> Option<String> {
    let rate = bytes(&spec.rate);
    let read = spec.interval.as_deref().map(|text| (text, interval(text)));
    match (rate, read) {
        (Err(message), _) => Some(format!("spec.verify.rate {message}")),
        (Ok(rate), _) if rate < VERIFY_RATE_MIN => Some(format!(
            "spec.verify.rate is {}, and the lowest is 1Mi: set it to 1Mi or more",
            spec.rate
        )),
        (_, Some((text, given))) if given.is_none_or(|given| given < VERIFY_INTERVAL_MIN) => {
            Some(format!(
                "spec.verify.interval {text:?} is no duration of a minute or more: write it as 7d"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_as_people_write_them() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("1h1s", Some(3601)),
            ("1d", Some(86_400)),
            ("7d12h", Some(648_000)),
        ] {
            assert_eq!(interval(text).map(|d| d.as_secs()), seconds, "{text}");
        }
        for bad in [
            "",
            "5",
            "m",
            "5m5m",
            "30s5m",
            "5w",
            "1h1d",
            "-5m",
            "5.5m",
            "99999999999999999999h",
        ] {
            assert_eq!(interval(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn amounts_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("200Mi", 200 << 20),
            ("1.5Gi", 3 << 29),
            ("1k", 1000),
            ("17", 17),
            ("0.5", 1),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "-1", "Mi", "1Zi", "1e3", "99999999999Pi"] {
            assert!(bytes(bad).is_err(), "{bad:?} was taken");
        }
    }
}
