//! Asking a person for consent.

use std::io::{BufRead, IsTerminal, Write};

use super::exit::Ended;

/// How consent is given.
pub(super) enum Question<'a> {
    /// The pair's name has to be typed: something will be lost.
    TypeName(&'a str),
}

/// Asks, and returns when the answer is yes. With `--yes` it does not ask.
///
/// # Errors
/// [`Ended::Refused`] when the answer is no, or when standard input is not a terminal.
pub(super) fn consent(question: &Question<'_>, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Ended::Refused(
            "not a terminal: add --yes to consent to what is shown above".into(),
        )
        .into());
    }
    let Question::TypeName(name) = question;
    anstream::eprint!("Type the pair's name, {name}, to consent: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if is_consent(question, &answer) {
        return Ok(());
    }
    Err(Ended::Refused("no consent was given; nothing was changed".into()).into())
}

fn is_consent(question: &Question<'_>, answer: &str) -> bool {
    let Question::TypeName(name) = question;
    answer.trim() == *name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_name_is_consent() {
        let question = Question::TypeName("orders");
        assert!(is_consent(&question, "orders\n"));
        for no in ["", "\n", "y\n", "yes\n", "order\n", "Orders\n", "orders2\n"] {
            assert!(!is_consent(&question, no), "{no:?} was taken as consent");
        }
    }
}
