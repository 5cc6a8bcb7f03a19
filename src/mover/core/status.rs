//! What status shows.

use crate::effect::Effect;
use crate::machine::Core;
use crate::translate;
use protocol::units::SiteName;
use wire::control::{Activity, MoverStatus};

/// The status of a mover of which nothing is known yet.
#[must_use]
pub fn blank_status(site: SiteName) -> MoverStatus {
    MoverStatus {
        version: 1,
        site,
        superblock: None,
        superblock_error: None,
        device_bytes: None,
        activity: Activity::Idle,
        progress: None,
        decision: None,
        change_source: None,
        last: None,
        unwritten: Vec::new(),
    }
}

impl Core {
    /// Shows what has changed.
    pub(super) fn show(&mut self) {
        let track = self.track.as_ref();
        let status = MoverStatus {
            version: self.shown.version,
            site: self.config.site.clone(),
            superblock: self.side.record().map(translate::report_of),
            superblock_error: self.unusable.as_ref().map(|u| u.refusal.clone()),
            device_bytes: self.config.device_bytes,
            activity: self.activity(),
            progress: track.map(|track| track.progress(self.at.now_ms)),
            decision: track.and_then(|track| track.decision.clone()),
            change_source: track.and_then(|track| track.change_source.clone()),
            last: self.last.clone(),
            unwritten: self.shown_unwritten(),
        };
        if status != self.shown {
            self.shown = status.clone();
            self.effect_before_replies(Effect::Show(Box::new(status)));
        }
    }

    fn activity(&self) -> Activity {
        if let Some(epoch) = self.side.promoting() {
            return Activity::Promoting(epoch);
        }
        if let Some(cycle) = self.side.shipping() {
            return Activity::Shipping(cycle);
        }
        match self.side.receiving() {
            Some(cycle) => Activity::Receiving(cycle),
            None => Activity::Idle,
        }
    }
}
