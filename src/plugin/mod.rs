//! `kubectl ferry`: one file a verb.
