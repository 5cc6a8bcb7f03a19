//! Reading what is there, live from the API.

use kube::Client;

use crate::operator::rebind::{RebindError, RebindView, RebindWish};

/// Reads what is there, past any cache.
///
/// # Errors
/// When the API server refuses, or the kept claim can't be read.
pub async fn observe(client: &Client, wish: &RebindWish) -> Result<RebindView, RebindError> {
    todo!("{} {wish:?}", client.default_namespace())
}
