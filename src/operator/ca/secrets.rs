//! Where certificates lie: Secrets, created once, applied only when they have to change.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;

use crate::operator::ca::{Authority, CaError};
use crate::seam::TlsDir;
use crate::units::{PairName, SiteName};

/// The Secret in the operator's namespace that holds the install's authority.
pub const CA_SECRET: &str = "ferry-ca";

/// The install's authority: read from [`CA_SECRET`] in `namespace`, made when it is not there. Two
/// operators that start at once end up with the same one: the slower reads what the faster created.
/// Call it again every hour or so: it also brings about the authority's own rotation.
///
/// # Errors
/// When the API server refuses, or the Secret holds no usable authority.
pub async fn load_or_create(
    client: &Client,
    namespace: &str,
    now: Timestamp,
) -> Result<Authority, CaError> {
    todo!("{namespace} {now} {}", client.default_namespace())
}

/// Makes sure that the mover of `pair` at `site` has a certificate Secret (`names::mover`) in the
/// pair's namespace that is of this authority and past neither half of its life nor its trust
/// bundle. Writes only when something has to change.
///
/// # Errors
/// When the API server refuses, or a certificate can't be made.
pub async fn ensure_mover_secret(
    client: &Client,
    authority: &Authority,
    pair: &PairName,
    site: &SiteName,
    owner: OwnerReference,
    now: Timestamp,
) -> Result<Secret, CaError> {
    todo!(
        "{pair} {site} {owner:?} {authority:?} {now} {}",
        client.default_namespace()
    )
}

/// The operator's own identity `ferry://operator`, kept in memory only, for `MoverLinks`. Make a new
/// one at half of [`super::LEAF_LIFETIME`] and hand it to `MoverLinks::set_identity`.
///
/// # Errors
/// When a certificate can't be made.
pub fn operator_identity(authority: &Authority, now: Timestamp) -> Result<TlsDir, CaError> {
    todo!("{authority:?} {now}")
}
