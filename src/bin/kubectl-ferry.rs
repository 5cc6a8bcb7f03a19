//! `kubectl ferry`: see [`ferry::plugin`].

fn main() {}
