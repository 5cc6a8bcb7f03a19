//! The generated messages and client of `proto/snapshot_metadata.proto`.

#![allow(
    missing_docs,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]

tonic::include_proto!("snapshotmetadata");
