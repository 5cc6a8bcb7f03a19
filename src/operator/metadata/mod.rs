//! A client of CSI SnapshotMetadata (KEP-3314): which extents of a snapshot are allocated, or differ
//! from an earlier one.
//!
//! ```text
//! driver name → SnapshotMetadataService object → TokenRequest(audience) → TLS(caCert) → stream
//! ```
//! Nothing that comes in is believed unchecked: ranges must ascend, be disjoint and lie within the
//! capacity, within a message, across messages and across a resumed stream.

mod client;
mod decode;
mod discovery;
mod error;
mod proof;
mod proto;
mod stream;

pub use client::{MetadataClient, ServiceAccount, SnapshotName};

pub use error::{MetadataError, Trust};
pub use proof::{SnapshotFacts, prove_delta};
pub use stream::{ExtentStream, RESUMES_MAX};
