//! The mover's part of a demotion: an order is taken at its word, and the record says what the
//! image is worth from now on (see [`protocol::pair::demote`]).

use protocol::pair::demote::Demote;
use wire::control::DemoteOrder;

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
