//! A re-binding on the simulated cluster: with a crash after every step, slow controllers, requests that
//! arrive twice or late, and people and tools that interfere.

mod plays;
mod refusals;
mod run;
mod world;
