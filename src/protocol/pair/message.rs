//! What the two sides say to each other, apart from the volume's bytes. The wire layer has its own
//! frames for these; the mover translates.

use crate::units::{
    ChangeSource, Decision, Epoch, HandshakeMode, ImageState, Lineage, PairId, Point,
};

use crate::pair::handshake::Superblock;
use crate::pair::{Record, Refused};

/// The source's first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The source's epoch.
    pub epoch: Epoch,
    /// The source's history.
    pub lineage: Lineage,
    /// The cut that it wants to ship.
    pub cycle: Point,
    /// The size of the cut's image in bytes.
    pub size: u64,
}

/// The target's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What its superblock says.
    pub superblock: Superblock,
    /// The size of its volume in bytes.
    pub size: u64,
}

/// What the source is about to ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The cut.
    pub cycle: Point,
    /// The source's history; the image's own once the cut is on the volume.
    pub lineage: Lineage,
    /// The size of the cut's image in bytes.
    pub size: u64,
    /// What the handshake decided.
    pub decision: Decision,
    /// The point that the change set counts from; `None` for a set that covers the whole volume or
    /// was found by comparing with the target's own content.
    pub base: Option<Point>,
    /// The change source that the source starts on. A cycle is resumed only on the change source it was begun
    /// on, because another finds the same changes in other pieces.
    pub change_source: ChangeSource,
    /// Consent to overwrite a diverged target, for exactly this epoch.
    pub consent: Option<Epoch>,
}

/// One word of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Source: who I am and what I want to ship.
    Hello(Hello),
    /// Target: who I am.
    Greeting(Greeting),
    /// Source: what comes.
    Begin(Begin),
    /// Target: ship everything from this byte of the volume on; what is before it is durable.
    Ready(u64),
    /// Source: everything has been sent.
    End,
    /// Target: the set is whole, checked and durable.
    Staged,
    /// Target: the volume holds the cut.
    Applied,
    /// Either: it goes no further, and why.
    Refuse(Refused),
}

/// Whether a change set goes straight to a volume with this image. Where there is no image to lose,
/// nothing is gained by staging one; an image that is at no point but may be worth saving is only
/// discarded where all of it has to be replaced.
#[must_use]
pub fn goes_in_place(image: ImageState, mode: HandshakeMode) -> bool {
    match image {
        ImageState::None => true,
        ImageState::Inconsistent => mode == HandshakeMode::Full,
        ImageState::Consistent(_) | ImageState::Redo(_) => false,
    }
}

impl Greeting {
    /// The record in it, if there is one that can be read.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match &self.superblock {
            Superblock::Known(record) => Some(record),
            Superblock::Blank | Superblock::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_that_is_not_worth_keeping_is_written_in_place() {
        let at = Point::new(1, 5);
        for mode in [
            HandshakeMode::Log,
            HandshakeMode::Bitmap,
            HandshakeMode::Full,
        ] {
            let full = mode == HandshakeMode::Full;
            assert!(goes_in_place(ImageState::None, mode));
            assert_eq!(goes_in_place(ImageState::Inconsistent, mode), full);
            assert!(!goes_in_place(ImageState::Consistent(at), mode));
            assert!(!goes_in_place(ImageState::Redo(at), mode));
        }
    }
}
