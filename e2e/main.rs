//! Ferry on a real cluster: the stories that prove it, the demo that shows it, the measurements.
//!
//! ```text
//! cargo run --example e2e -- stories [--only NAME] [--list]
//! cargo run --example e2e -- demo
//! cargo run --example e2e -- measure
//! ```

mod harness;

fn main() {}
