//! The mover's part of a demotion: an order is taken at its word, and the record says what the
//! image is worth from now on (see [`crate::pair::demote`]).

use crate::pair::demote::Demote;
use crate::wire::control::DemoteOrder;

/// The order in the protocol's words.
#[must_use]
pub fn order_of(order: DemoteOrder) -> Demote {
    Demote {
        epoch: order.epoch,
        lineage: order.lineage,
        clean_at: order.clean_at,
        wish: order.wish,
    }
}
