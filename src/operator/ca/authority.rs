//! The authority itself: pure, time is given.

use std::time::Duration;

use jiff::Timestamp;

use crate::operator::ca::CaError;
use crate::units::PeerName;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long an authority's certificate is valid.
pub const CA_LIFETIME: Duration = Duration::from_secs(DAY.as_secs() * 3650);
/// An authority is followed by a new one this long before it ends.
pub const CA_RENEW_BEFORE: Duration = Duration::from_secs(DAY.as_secs() * 365);
/// How long a new authority is only trusted before it signs: by then every mover has it.
pub const CA_OVERLAP: Duration = LEAF_LIFETIME;
/// How long a leaf is valid; it is replaced at half of it.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(DAY.as_secs() * 7);
/// How far a leaf's beginning is set back, for clocks that run behind ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// A private key and a certificate that this install trusts.
#[derive(Debug)]
pub struct Authority {}

/// A leaf, as PEM: the contents of a mover's `--tls` directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafPem {
    /// `ca.crt`: every authority that is trusted now.
    pub ca: String,
    /// `tls.crt`.
    pub certificate: String,
    /// `tls.key`, PKCS#8.
    pub key: String,
}

impl Authority {
    /// A certificate for `name`, valid for [`LEAF_LIFETIME`] from `now`.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn issue(&self, name: &PeerName, now: Timestamp) -> Result<LeafPem, CaError> {
        todo!("{name} {now}")
    }

    /// `ca.crt`: every authority that is trusted now, PEM.
    #[must_use]
    pub fn bundle(&self) -> &str {
        todo!()
    }
}
