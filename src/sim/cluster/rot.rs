//! Bits that turn round on storage without an error, and comparisons that find them.

use std::collections::BTreeSet;

use rand::Rng;

use crate::cluster::world::{PAIR, SITES, World};
use api::names;
use protocol::changes::{BLOCK_BYTES, blocks_of};
use protocol::units::{ImageState, Role};
use storage::journal::DigestStore;
use wire::control::{Activity, CycleOutcome};

/// Bits that turn round at once in a cut of the primary.
const ROTTEN_BITS: u32 = 8;

/// What has rotted and is not repaired.
#[derive(Default)]
pub(crate) struct Rot {
    /// The primary's committed cut rots before it is read again.
    pub(crate) cut_rots: bool,
    /// Whether each side's mover was sending when it was looked at last.
    sending: [bool; 2],
}

impl World {
    /// A bit of a standby's image turns round. What is being compared with the primary's just now may have
    /// been read already.
    pub(crate) fn rot_standby(&mut self, at: usize) {
        let whole = self.superblock(at).is_some_and(|record| {
            let consistent = matches!(record.image, ImageState::Consistent(_));
            record.role == Role::Standby && !record.diverged && consistent
        });
        let mut movers = self.movers.iter().flatten();
        let sends = movers.any(|mover| mover.host.shipping.is_some());
        let verification = self.status().verification.as_ref();
        let compares = verification.is_some_and(|verification| verification.running.is_some());
        if !whole || sends || compares {
            return;
        }
        let volume = self.volumes[at].clone().unwrap_or_default();
        let Some(device) = self.server.storage.device(&volume) else {
            return;
        };
        let byte = self.random.random_range(0..device.size());
        device.flip(byte, self.random.random_range(0..8));
        self.oracle.rotten[at].insert(byte / BLOCK_BYTES);
        let now = self.millis();
        let line = || format!("block {} has rotted", byte / BLOCK_BYTES);
        self.story.tell(now, at, line);
    }

    /// Bits of the primary's committed cut turn round before a mover opens the clone of it.
    pub(crate) fn rot_clone(&mut self, at: usize, claim: &str, handle: &str) {
        let claim_of = |point| names::source_claim(PAIR, SITES[at], point);
        // Without digests of it nobody can tell whose copy is damaged.
        let kept = self
            .state_files(at)
            .and_then(|files| DigestStore::peek(files).ok().flatten());
        let kept = kept.is_some_and(|(point, _)| claim_of(point) == claim);
        if !kept || !std::mem::take(&mut self.rot.cut_rots) {
            return;
        }
        let Some(device) = self.server.storage.device(handle) else {
            return;
        };
        for _ in 0..ROTTEN_BITS {
            device.flip(self.random.random_range(0..device.size()), 0);
        }
        let now = self.millis();
        self.story
            .tell(now, at, || format!("what claim {claim} holds has rotted"));
    }

    /// Sees which comparisons have ended: the sides are the same there from now on.
    pub(crate) fn note_verified(&mut self) {
        for at in 0..2 {
            let status = self.movers[at].as_ref().map(|mover| mover.host.status());
            let sends =
                status.is_some_and(|status| matches!(status.activity, Activity::Shipping(_)));
            let sent = std::mem::replace(&mut self.rot.sending[at], sends);
            let Some(CycleOutcome::Verified(report)) =
                status.and_then(|status| status.last.as_ref())
            else {
                continue;
            };
            if sent && !sends {
                let (compared, range) = (blocks_of(report.range), report.range);
                self.oracle.rotten[1 - at].retain(|block| !compared.contains(block));
                self.oracle.verified += 1;
                let now = self.millis();
                self.story
                    .tell(now, 1 - at, || format!("{range:?} is verified"));
            }
        }
    }

    /// A standby has become primary. What has rotted there is what the application finds, and from now on
    /// it is the other side that differs.
    pub(crate) fn rot_is_promoted(&mut self, at: usize) {
        let rotten: BTreeSet<u64> = std::mem::take(&mut self.oracle.rotten[at]);
        self.oracle.rotten[1 - at].extend(&rotten);
        self.oracle.promoted_rot = rotten;
    }
}
