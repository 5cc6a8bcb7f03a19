//! Kubernetes Events about pairs.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};

use crate::api::ReplicationPair;

/// The longest note that the API takes, in bytes; a longer one is cut.
const NOTE_BYTES_MAX: usize = 1024;

/// Writes Events; repeats of one are counted by the API, not written again.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events by the operator instance `instance` (its pod's name).
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Events {
        let reporter = Reporter {
            controller: "ferry.dev/operator".into(),
            instance: Some(instance.into()),
        };
        Events {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Something went as it should. `reason` and `action` are one CamelCase word each. Failing to
    /// write it is logged, never an error.
    pub async fn normal(&self, pair: &ReplicationPair, reason: &str, action: &str, note: &str) {
        self.publish(pair, EventType::Normal, reason, action, note)
            .await;
    }

    /// Something needs attention. As [`Events::normal`] otherwise.
    pub async fn warning(&self, pair: &ReplicationPair, reason: &str, action: &str, note: &str) {
        self.publish(pair, EventType::Warning, reason, action, note)
            .await;
    }

    async fn publish(
        &self,
        pair: &ReplicationPair,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(cut(note, NOTE_BYTES_MAX).into()),
            action: action.into(),
            secondary: None,
        };
        let regarding = pair.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &regarding).await {
            tracing::warn!(%error, reason, note, "failed to write an Event");
        }
    }
}

/// The beginning of `text`, at most `max` bytes, cut between two characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("abc", 8), "abc");
        assert_eq!(cut("aéé", 4), "aé");
        assert_eq!(cut("aéé", 5), "aéé");
        assert_eq!(cut("é", 1), "");
    }
}
