//! The order of effects, without any disk.
