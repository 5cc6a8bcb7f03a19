//! Decisions on fixtures.
