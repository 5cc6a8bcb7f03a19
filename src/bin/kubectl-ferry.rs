//! `kubectl ferry`: see [`ferry::plugin`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ferry::plugin::main()
}
