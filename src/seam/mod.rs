//! Clock, disk, link and TLS: the only place that names wall time, fsync or sockets.
