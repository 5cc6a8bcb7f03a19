//! Block devices and images: extents, change sources, reading, applying.
