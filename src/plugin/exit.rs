//! How a command ends, and the exit code that says so to scripts.

use std::process::ExitCode;

use super::api_error;

/// Everything was done.
pub(super) const OK: u8 = 0;
/// Something went wrong; standard error says what.
pub(super) const ERROR: u8 = 1;
/// The pair already is as it was asked to be.
pub(super) const NOTHING_TO_DO: u8 = 3;
/// A safety check, or the person asked, said no. Nothing was changed.
pub(super) const REFUSED: u8 = 4;
/// The wait timed out. What was requested goes on.
pub(super) const TIMED_OUT: u8 = 5;

/// The exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  error; standard error says what and where
  2  the command line makes no sense
  3  nothing to do: the pair already is as asked
  4  refused by a safety check or by you; nothing was changed
  5  timed out waiting; what was requested goes on";

/// A command that ended in another way than `done`, shown to the person and in the exit code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// Already as asked.
    #[error("nothing to do: {0}")]
    NothingToDo(String),
    /// Refused; nothing was changed.
    #[error("refused: {0}")]
    Refused(String),
    /// The wait timed out.
    #[error("timed out: {0}")]
    TimedOut(String),
}

/// The exit code for the outcome of a command.
pub(super) fn exit_code(outcome: &anyhow::Result<()>) -> u8 {
    let Err(error) = outcome else { return OK };
    match error.downcast_ref::<Ended>() {
        Some(Ended::NothingToDo(_)) => NOTHING_TO_DO,
        Some(Ended::Refused(_)) => REFUSED,
        Some(Ended::TimedOut(_)) => TIMED_OUT,
        None => ERROR,
    }
}

/// Says on standard error why a command did not end well, and gives its exit code.
pub(super) fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let code = exit_code(&outcome);
    if let Err(error) = outcome {
        match error.downcast_ref::<Ended>() {
            Some(ended) => anstream::eprintln!("{ended}"),
            None => anstream::eprintln!("error: {}", error_chain(&error)),
        }
    }
    ExitCode::from(code)
}

/// An error with its causes, each named once: many libraries repeat the cause in their own message.
/// Of what the API server said only its sentence counts, and nothing below it.
fn error_chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let answer = api_answer(cause);
        let words = answer.map_or_else(|| own_words(cause), api_error::words);
        if !words.is_empty() && !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        if answer.is_some() {
            break;
        }
    }
    text
}

/// The client's error that `cause` is, in a box or not.
fn api_answer<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::Error> {
    cause.downcast_ref::<kube::Error>().or_else(|| {
        cause
            .downcast_ref::<Box<kube::Error>>()
            .map(|boxed| &**boxed)
    })
}

/// What an error says without the text of its cause, which follows by itself.
fn own_words(cause: &(dyn std::error::Error + 'static)) -> String {
    let words = cause.to_string();
    match cause.source() {
        Some(inner) => words
            .strip_suffix(&inner.to_string())
            .map_or(words.clone(), |own| own.trim_end_matches([':', ' ']).into()),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_exit_code_survives_added_context() {
        let refused: anyhow::Result<()> = Err(Ended::Refused("no".into()).into());
        assert_eq!(exit_code(&refused.context("promote shop/orders")), REFUSED);
        assert_eq!(exit_code(&Err(anyhow::anyhow!("broken"))), ERROR);
        assert_eq!(exit_code(&Ok(())), OK);
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("failed to read x: no such file")
            .context("failed to start");
        assert_eq!(
            error_chain(&error),
            "failed to start: failed to read x: no such file"
        );
    }

    #[test]
    fn an_answer_of_the_api_server_is_its_sentence_and_no_dump() {
        let sentence = "pods is forbidden: User \"dev\" cannot list resource \"pods\"";
        let refused = kube::Error::Api(Box::new(kube::core::Status {
            code: 403,
            reason: "Forbidden".into(),
            message: sentence.into(),
            ..kube::core::Status::default()
        }));
        let error = cluster::Error::Api {
            action: "list the pods of shop".into(),
            source: Box::new(refused),
        };
        assert_eq!(
            error_chain(&anyhow::Error::new(error).context("failed to plan")),
            format!("failed to plan: failed to list the pods of shop: {sentence}")
        );
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for code in [OK, ERROR, NOTHING_TO_DO, REFUSED, TIMED_OUT] {
            assert!(
                EXIT_CODES.contains(&format!("\n  {code}  ")),
                "{code} is not documented"
            );
        }
    }
}
