//! The authority itself. Pure: time is given, nothing is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::ca::CaError;
use crate::ca::certificate;
use crate::ca::certificate::Facts;
use protocol::units::PeerName;

const DAY_SECONDS: u64 = 24 * 3600;

/// How long an authority's certificate is valid.
pub const CA_LIFETIME: Duration = Duration::from_secs(3650 * DAY_SECONDS);
/// An authority is followed by a new one this long before it ends.
pub const CA_RENEW_BEFORE: Duration = Duration::from_secs(365 * DAY_SECONDS);
/// How long a new authority is only trusted before it signs: by then every mover has it.
pub const CA_OVERLAP: Duration = LEAF_LIFETIME;
/// How long a leaf is valid; it is replaced at half of it.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(7 * DAY_SECONDS);
/// How far the beginning of a certificate is set back, for clocks that run behind ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(3600);

const SIGNING: (&str, &str) = ("tls.crt", "tls.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const BUNDLE: &str = "ca.crt";

/// The private key and the certificates that this install trusts.
///
/// Rotation has two phases, so that no connection is ever refused: a successor is first only trusted
/// (it is in the bundle that every mover gets), and signs [`CA_OVERLAP`] later, when the last leaf
/// without it has expired. The predecessor stays trusted until it expires by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    signing: Signer,
    next: Option<Signer>,
    bundle: String,
}

#[derive(Clone, PartialEq, Eq)]
struct Signer {
    certificate: String,
    key: String,
}

/// A leaf, as PEM: the contents of a mover's `--tls` directory.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafPem {
    /// `ca.crt`: every authority that is trusted now.
    pub ca: String,
    /// `tls.crt`.
    pub certificate: String,
    /// `tls.key`, PKCS#8.
    pub key: String,
}

// Keys must not reach a log by way of a Debug line.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("rotating", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LeafPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeafPem").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority, valid for [`CA_LIFETIME`] from `now`.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn create(now: Timestamp) -> Result<Authority, CaError> {
        let signing = Signer::create(now)?;
        let bundle = signing.certificate.clone();
        Ok(Authority {
            signing,
            next: None,
            bundle,
        })
    }

    /// Reads an authority from a Secret's data.
    ///
    /// # Errors
    /// What is missing or doesn't fit, as the end of a sentence.
    pub fn from_data(data: &BTreeMap<String, ByteString>) -> Result<Authority, String> {
        let text = |name: &str| -> Result<Option<String>, String> {
            data.get(name)
                .map(|bytes| String::from_utf8(bytes.0.clone()))
                .transpose()
                .map_err(|_| format!("{name} is not text"))
        };
        let signer = |(certificate, key): (&str, &str)| -> Result<Option<Signer>, String> {
            let (Some(c), Some(k)) = (text(certificate)?, text(key)?) else {
                return Ok(None);
            };
            Signer::check(c, k)
                .map(Some)
                .map_err(|e| format!("{certificate}: {e}"))
        };
        let signing = signer(SIGNING)?.ok_or("tls.crt or tls.key is missing")?;
        let next = signer(NEXT)?;
        let mut bundle = text(BUNDLE)?.unwrap_or_default();
        for trusted in std::iter::once(&signing).chain(&next) {
            if !bundle.contains(trusted.certificate.trim()) {
                bundle = join(&trusted.certificate, &bundle);
            }
        }
        certificate::all_facts(&bundle).map_err(|e| format!("{BUNDLE}: {e}"))?;
        Ok(Authority {
            signing,
            next,
            bundle,
        })
    }

    /// The Secret's data.
    #[must_use]
    pub fn to_data(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::from([
            (BUNDLE, &self.bundle),
            (SIGNING.0, &self.signing.certificate),
            (SIGNING.1, &self.signing.key),
        ]);
        if let Some(next) = &self.next {
            data.insert(NEXT.0, &next.certificate);
            data.insert(NEXT.1, &next.key);
        }
        let bytes = |text: &String| ByteString(text.clone().into_bytes());
        data.into_iter()
            .map(|(name, text)| (name.into(), bytes(text)))
            .collect()
    }

    /// When the certificate that signs now expires; `None` when it can't be read.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let facts = certificate::facts(&self.signing.certificate).ok()?;
        Some(facts.not_after)
    }

    /// This authority one step further in its rotation; `None` while there is nothing to do at `now`.
    ///
    /// # Errors
    /// When a key can't be made, or a certificate can't be read.
    pub fn rotated(&self, now: Timestamp) -> Result<Option<Authority>, CaError> {
        let unreadable = |e: String| CaError::Unusable {
            secret: super::CA_SECRET.into(),
            reason: e,
        };
        let signing = certificate::facts(&self.signing.certificate).map_err(unreadable)?;
        let Some(next) = &self.next else {
            if now + CA_RENEW_BEFORE < signing.not_after {
                return Ok(None);
            }
            let next = Signer::create(now)?;
            let bundle = self.pruned(now).map_err(unreadable)?;
            return Ok(Some(Authority {
                bundle: join(&next.certificate, &bundle),
                next: Some(next),
                signing: self.signing.clone(),
            }));
        };
        let known_since = certificate::facts(&next.certificate)
            .map_err(unreadable)?
            .not_before;
        let known_everywhere = now >= known_since + CLOCK_SKEW + CA_OVERLAP;
        // An authority that has expired already protects nobody by signing on.
        if known_everywhere || now >= signing.not_after {
            return Ok(Some(Authority {
                bundle: self.pruned(now).map_err(unreadable)?,
                signing: next.clone(),
                next: None,
            }));
        }
        Ok(None)
    }

    /// A certificate for `name`, valid for [`LEAF_LIFETIME`] from `now`.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn issue(&self, name: &PeerName, now: Timestamp) -> Result<LeafPem, CaError> {
        let make = |source| CaError::Make {
            name: name.to_string(),
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        let signing_key = KeyPair::from_pem(&self.signing.key).map_err(make)?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.signing.certificate, signing_key).map_err(make)?;
        let mut leaf = params(now, LEAF_LIFETIME, "Ferry");
        let uri = name.to_string().try_into().map_err(make)?;
        leaf.subject_alt_names = vec![SanType::URI(uri)];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &issuer).map_err(make)?;
        Ok(LeafPem {
            ca: self.bundle.clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Whether `leaf` can go on being used for `name`: of the signing authority, with the present
    /// bundle, and in the first half of its life.
    #[must_use]
    pub fn is_current(&self, leaf: &LeafPem, name: &PeerName, now: Timestamp) -> bool {
        let (Ok(facts), Ok(signing)) = (
            certificate::facts(&leaf.certificate),
            certificate::facts(&self.signing.certificate),
        ) else {
            return false;
        };
        leaf.ca == self.bundle
            && facts.issuer == signing.subject
            && facts.uris == [name.to_string()]
            && KeyPair::from_pem(&leaf.key).is_ok_and(|key| facts.is_of_key(&key))
            && now + LEAF_LIFETIME / 2 < facts.not_after
            && facts.not_before <= now
    }

    /// `ca.crt`: every authority that is trusted now, PEM.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The bundle without what has expired.
    fn pruned(&self, now: Timestamp) -> Result<String, String> {
        let kept: Vec<Facts> = certificate::all_facts(&self.bundle)?
            .into_iter()
            .filter(|facts| facts.not_after > now)
            .collect();
        Ok(kept
            .iter()
            .fold(String::new(), |all, facts| join(&all, &facts.pem)))
    }
}

impl Signer {
    fn create(now: Timestamp) -> Result<Signer, CaError> {
        let make = |source| CaError::Make {
            name: "the install's authority".into(),
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        // Each authority has a name of its own, so that a leaf's issuer says which one signed it.
        let mut ca = params(
            now,
            CA_LIFETIME,
            &format!("Ferry CA {}", uuid::Uuid::new_v4()),
        );
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = ca.self_signed(&key).map_err(make)?;
        Ok(Signer {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn check(certificate: String, key: String) -> Result<Signer, String> {
        let facts = certificate::facts(&certificate)?;
        if !facts.is_ca {
            return Err("it is not an authority's certificate".into());
        }
        let pair = KeyPair::from_pem(&key).map_err(|e| format!("its key can't be read: {e}"))?;
        if !facts.is_of_key(&pair) {
            return Err("its key belongs to another certificate".into());
        }
        Ok(Signer { certificate, key })
    }
}

fn params(now: Timestamp, lifetime: Duration, common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let at = |t: Timestamp| {
        let seconds = u64::try_from(t.as_second()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(now - CLOCK_SKEW);
    params.not_after = at(now + lifetime);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn join(first: &str, second: &str) -> String {
    let mut joined = String::with_capacity(first.len() + second.len() + 2);
    for part in [first, second] {
        if !part.trim().is_empty() {
            joined.push_str(part.trim());
            joined.push('\n');
        }
    }
    joined
}
