//! The replication protocol as pure synchronous state machines. No tokio, kube or files.
