//! Epochs fence: whoever comes with a lower one is refused, with both numbers named.

use crate::pair::{Cause, Refused};
use crate::units::Epoch;

/// Lets `theirs` pass when it is not below `ours`.
///
/// # Errors
/// [`Cause::StaleEpoch`], naming `who` and both epochs.
pub fn admit(ours: Epoch, theirs: Epoch, who: &str) -> Result<(), Refused> {
    if theirs >= ours {
        return Ok(());
    }
    Err(Refused::new(
        Cause::StaleEpoch,
        format!(
            "{who} is of epoch {theirs}, but epoch {ours} is known here: \
             the role has moved on since; ask again with the current epoch"
        ),
    ))
}

/// Whether consent to overwrite a diverged side holds: it names exactly the epoch in force, so
/// that consent given before a later failover is void.
#[must_use]
pub fn consents(consent: Option<Epoch>, in_force: Epoch) -> bool {
    consent == Some(in_force)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_epoch_is_refused_and_both_are_named() {
        let refused = admit(Epoch(7), Epoch(3), "the command").unwrap_err();
        assert_eq!(refused.cause, Cause::StaleEpoch);
        assert!(refused.message.contains('7') && refused.message.contains('3'));
        assert!(admit(Epoch(7), Epoch(7), "the command").is_ok());
        assert!(admit(Epoch(7), Epoch(8), "the command").is_ok());
    }

    #[test]
    fn consent_is_for_one_epoch_alone() {
        assert!(consents(Some(Epoch(2)), Epoch(2)));
        assert!(!consents(Some(Epoch(1)), Epoch(2)));
        assert!(!consents(Some(Epoch(3)), Epoch(2)));
        assert!(!consents(None, Epoch(2)));
    }
}
