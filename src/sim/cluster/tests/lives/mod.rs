//! Whole lives of a pair: cycles, changes of the role, and sides that come back. What must hold after
//! every step (roles, images, claims, snapshots) the world checks by itself.

mod claims;
mod comeback;
mod cycles;
mod epochs;
mod hold;
mod newer;
mod own;
mod pace;
mod pause;
mod promotions;
mod refusals;
mod unchanged;
mod verify;
