//! Feeding the list of changed extents to the source mover.

use futures::Stream;

use crate::operator::link::{MoverKey, MoverLinkError, MoverLinks};
use crate::units::{Extent, Point};

/// The most extents held in memory for one feed; the stream is not read further meanwhile.
pub const FEED_EXTENTS_MAX: usize = 2 * crate::wire::control::EXTENTS_PER_BATCH_MAX;

/// What a feed has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedExtents {
    /// Extents sent.
    pub extents: u64,
    /// Bytes that they cover.
    pub bytes: u64,
    /// Why the list broke; `None` when it was sent whole.
    pub broken: Option<String>,
}

impl MoverLinks {
    /// Sends `extents` as the list that the `Ship` order for `cycle` announced, in batches and with
    /// bounded memory. When the stream breaks, the mover is told with `ExtentsFailed` and the result
    /// says why; that is no error: the mover falls to the next rung.
    ///
    /// # Errors
    /// When the mover can't be reached or refuses.
    pub async fn feed_extents<S, E>(
        &self,
        key: &MoverKey,
        cycle: Point,
        extents: S,
    ) -> Result<FedExtents, MoverLinkError>
    where
        S: Stream<Item = Result<Vec<Extent>, E>> + Send,
        E: std::fmt::Display + Send,
    {
        drop(extents);
        todo!("{key:?} {cycle}")
    }
}
