//! Messages, versions, codec and limits. Bytes in, messages out; no sockets. Depends on `units`.

pub mod control;
