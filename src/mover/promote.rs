//! The mover's part of a promotion: what is staged whole is written to the volume, anything else is
//! dropped, and only then is the new epoch recorded (see [`protocol::pair::promote`]).

use protocol::pair::promote::Promote;
use wire::control::PromoteOrder;

/// The order in the protocol's words.
#[must_use]
pub fn order_of(order: PromoteOrder) -> Promote {
    Promote {
        epoch: order.epoch,
        generation: order.generation,
        peer_head: order.peer_head,
        wish: order.wish,
    }
}
