//! The limits of the wire, all in one place.

use protocol::changes::{BATCH_BYTES_MAX, Limits};

/// The longest payload of any frame, in bytes. A longer one is refused unread, and the connection
/// ends.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// The longest hello, in bytes; anything longer ends the connection. It holds a lineage of more
/// epochs than a superblock keeps.
pub const HELLO_BYTES_MAX: usize = 64 * 1024;

/// The most block digests in one frame; more are asked for in the next request.
pub const DIGESTS_PER_FRAME_MAX: usize = 64 * 1024;

/// A receive buffer grows by at most this many bytes, or by what it already holds, at a time: what
/// a frame claims to be long costs nothing until the bytes are there.
pub const RECEIVE_GROWTH_BYTES: usize = 64 * 1024;

/// One window, in bytes of the volume: a target makes what it has received durable, and says so, at
/// least this often.
pub const WINDOW_BYTES: u64 = Limits::PRODUCT.window_bytes;

const _: () = assert!(2 * BATCH_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(DIGESTS_PER_FRAME_MAX * 16 + 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(WINDOW_BYTES > BATCH_BYTES_MAX as u64);
