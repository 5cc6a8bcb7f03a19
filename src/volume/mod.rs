//! Block devices and images: extents, change sources, reading, applying.

pub mod digest;
