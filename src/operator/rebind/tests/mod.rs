//! A move of the role against a model of the API: with a crash after every step, slow controllers,
//! requests that arrive twice or late, and people and tools that interfere.

mod plays;
mod refusals;
mod run;
mod world;
