//! `kubectl ferry`: see [`plugin`].

use std::process::ExitCode;

fn main() -> ExitCode {
    plugin::main()
}
