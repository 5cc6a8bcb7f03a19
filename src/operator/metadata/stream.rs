//! The stream of extents, resumed when it breaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::operator::metadata::MetadataError;
use crate::units::Extent;

/// How often one list is resumed without a single extent of progress; then it has broken.
pub const RESUMES_MAX: u32 = 5;

/// Ascending, disjoint extents in batches. The end of the stream without an error proves that the
/// list is whole; nothing else does.
pub struct ExtentStream {}

impl ExtentStream {
    /// The capacity of the volume, as the driver says, in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        todo!()
    }
}

impl Stream for ExtentStream {
    type Item = Result<Vec<Extent>, MetadataError>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        todo!()
    }
}
