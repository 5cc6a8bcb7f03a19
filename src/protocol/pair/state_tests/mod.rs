//! Both sides in every state against everything that can happen to them, written down: a change of
//! the protocol shows as a change of these lists.
//!
//! The lists are in `snapshots/`: for each state, each event or command, what the side then asks for,
//! in order, and where it stands afterwards.

mod begin_check;
mod notation;
mod parts;
mod source;
mod target;
mod verify;
