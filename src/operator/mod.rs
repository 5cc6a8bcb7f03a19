//! Observe → validate → decide → build → apply → publish, one file a step.
