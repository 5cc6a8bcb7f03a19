//! A client of CSI SnapshotMetadata (KEP-3314): which extents of a snapshot are allocated, or differ
//! from an earlier one.
//!
//! ```text
//! driver name → SnapshotMetadataService object → TokenRequest(audience) → TLS(caCert) → stream
//! ```
//! Nothing that comes in is believed unchecked: ranges must ascend, be disjoint and be within the
//! capacity, within a message and across messages. A stream that breaks is resumed from the end of
//! its last range; only its clean end proves that it is whole. The operator needs these rights: get
//! snapshotmetadataservices, create serviceaccounts/token for its own account, get volumesnapshots
//! (the service checks this one).

mod client;
mod decode;
#[cfg(test)]
mod decode_tests;
mod discovery;
mod error;
mod proof;
mod proto;
mod raw;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod token;
mod trust;

pub use client::{MetadataClient, ServiceAccount, SnapshotName};
pub use error::{MetadataError, Trust};
pub use proof::prove_delta;
#[doc(hidden)]
pub use raw::decode_messages;
pub use stream::{ExtentStream, RESUMES_MAX};
