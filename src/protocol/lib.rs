//! What the replication protocol decides: identities, points, state machines and change sets. Pure:
//! no clock, file or socket, no kube, no tokio.
//!
//! | question | module |
//! |---|---|
//! | What is an epoch, a point, a lineage, an extent, a name? | [`units`] |
//! | What does the protocol decide: handshake, cycle, promotion, fence? | [`pair`] |
//! | What is a change set made of, and how is it summed up? | [`changes`] |

pub mod changes;
pub mod pair;
pub mod units;
