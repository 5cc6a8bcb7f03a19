//! Names: of a pair, and of the two sites that it spans.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a pair, drawn once when its first superblock is written. Unlike the object's
/// name or UID it survives a re-created `ReplicationPair`, and a cloned volume can't inherit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PairId(pub Uuid);

/// A site's name: a DNS label, as in `spec.sites[].name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteName(String);

/// Where a pair's object lives: `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PairName {
    namespace: String,
    name: String,
}

/// A name that Kubernetes would not take either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {what}: {rule}")]
pub struct InvalidName {
    given: String,
    what: &'static str,
    rule: &'static str,
}

const LABEL_RULE: &str =
    "use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit";
const SUBDOMAIN_RULE: &str = "use NAMESPACE/NAME, both valid Kubernetes names";

impl SiteName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PairName {
    /// A pair's name from its two parts.
    ///
    /// # Errors
    /// When either part is not a valid Kubernetes name.
    pub fn new(namespace: &str, name: &str) -> Result<PairName, InvalidName> {
        if is_label(namespace) && is_subdomain(name) {
            return Ok(PairName {
                namespace: namespace.into(),
                name: name.into(),
            });
        }
        Err(InvalidName {
            given: format!("{namespace}/{name}"),
            what: "pair's name",
            rule: SUBDOMAIN_RULE,
        })
    }

    /// The namespace of the pair's object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the pair's object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TryFrom<String> for SiteName {
    type Error = InvalidName;

    fn try_from(given: String) -> Result<SiteName, InvalidName> {
        if is_label(&given) {
            return Ok(SiteName(given));
        }
        Err(InvalidName {
            given,
            what: "site's name",
            rule: LABEL_RULE,
        })
    }
}

impl TryFrom<String> for PairName {
    type Error = InvalidName;

    fn try_from(given: String) -> Result<PairName, InvalidName> {
        match given.split_once('/') {
            Some((namespace, name)) => PairName::new(namespace, name),
            None => Err(InvalidName {
                given,
                what: "pair's name",
                rule: SUBDOMAIN_RULE,
            }),
        }
    }
}

/// A volume as its storage knows it, whatever PersistentVolume objects stand for it. Written as
/// `DRIVER/HANDLE`: no driver's name has a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeId {
    /// The CSI driver.
    pub driver: String,
    /// The volume's handle at the driver.
    pub handle: String,
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver, self.handle)
    }
}

impl FromStr for VolumeId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<VolumeId, InvalidName> {
        match text.split_once('/') {
            Some((driver, handle)) if !driver.is_empty() && !handle.is_empty() => Ok(VolumeId {
                driver: driver.into(),
                handle: handle.into(),
            }),
            _ => Err(InvalidName {
                given: text.into(),
                what: "volume",
                rule: "give DRIVER/HANDLE",
            }),
        }
    }
}

impl FromStr for SiteName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<SiteName, InvalidName> {
        SiteName::try_from(text.to_string())
    }
}

impl FromStr for PairName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<PairName, InvalidName> {
        PairName::try_from(text.to_string())
    }
}

impl From<SiteName> for String {
    fn from(name: SiteName) -> String {
        name.0
    }
}

impl From<PairName> for String {
    fn from(name: PairName) -> String {
        name.to_string()
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PairName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (1..=63).contains(&text.len())
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        for bad in [
            "",
            "..",
            "a/b",
            "/x",
            "x/",
            "a b",
            "É",
            "-a",
            "a-",
            "shop/../etc",
        ] {
            assert!(
                bad.parse::<SiteName>().is_err(),
                "{bad:?} was taken as a site"
            );
        }
        for bad in [
            "", "..", "../..", "/", "shop", "shop/a/b", "shop/..", "Shop/x",
        ] {
            assert!(
                bad.parse::<PairName>().is_err(),
                "{bad:?} was taken as a pair"
            );
        }
        assert_eq!(
            "shop/orders".parse::<PairName>().unwrap().to_string(),
            "shop/orders"
        );
    }
}
