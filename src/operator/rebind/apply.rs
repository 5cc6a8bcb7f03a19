//! Carrying out one step.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;

use crate::operator::rebind::{RebindError, RebindWish, Step};

/// Carries out one step. Repeating it is harmless. A conflict (the object has changed since it was
/// observed) counts as done: the next observation decides anew.
///
/// # Errors
/// When the API server refuses.
pub async fn execute(
    client: &Client,
    wish: &RebindWish,
    owner: &OwnerReference,
    step: &Step,
) -> Result<(), RebindError> {
    todo!("{} {wish:?} {owner:?} {step:?}", client.default_namespace())
}
