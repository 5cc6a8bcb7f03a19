//! The name that a program's certificate carries.

use std::fmt;
use std::str::FromStr;

use crate::units::{PairName, SiteName};

/// Who is at the other end of a connection, as the one URI name in its certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerName {
    /// The operator of this install: `ferry://operator`.
    Operator,
    /// A pair's mover at a site: `ferry://SITE/NAMESPACE/PAIR`.
    Mover {
        /// The mover's site.
        site: SiteName,
        /// The pair that it works for.
        pair: PairName,
    },
}

/// A URI that names no program of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither ferry://operator nor ferry://SITE/NAMESPACE/PAIR")]
pub struct InvalidPeerName(pub String);

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerName::Operator => f.write_str("ferry://operator"),
            PeerName::Mover { site, pair } => write!(f, "ferry://{site}/{pair}"),
        }
    }
}

impl FromStr for PeerName {
    type Err = InvalidPeerName;

    fn from_str(text: &str) -> Result<PeerName, InvalidPeerName> {
        let invalid = || InvalidPeerName(text.to_string());
        let rest = text.strip_prefix("ferry://").ok_or_else(invalid)?;
        if rest == "operator" {
            return Ok(PeerName::Operator);
        }
        let (site, pair) = rest.split_once('/').ok_or_else(invalid)?;
        Ok(PeerName::Mover {
            site: site.parse().map_err(|_| invalid())?,
            pair: pair.parse().map_err(|_| invalid())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_nothing_else_does() {
        for good in ["ferry://operator", "ferry://east/shop/orders"] {
            assert_eq!(good.parse::<PeerName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "ferry://",
            "ferry://east",
            "ferry://east/shop",
            "https://east/shop/orders",
            "ferry://east/shop/orders/x",
            "ferry://../shop/orders",
            "ferry://operator/shop/orders ",
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad:?} was taken");
        }
    }
}
