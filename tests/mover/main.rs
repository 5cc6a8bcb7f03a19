//! The acceptance statements of the data plane (parts C and H), each proved through real mover
//! processes on real files over TLS, driven by the control protocol.

mod cycles;
mod devices;
mod failovers;
mod fallbacks;
mod handshake;
mod hung;
mod kills;
mod requests;
mod salvage;
mod slow_link;
mod verify;
mod volumes;
mod world;
