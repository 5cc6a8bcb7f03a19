//! What only real devices and file systems show: root, loop devices and FUSE are needed, and a test
//! that does not find them fails and says so.
//!
//! | file | holds |
//! |---|---|
//! | [`disks`] | loop devices, file systems, and a pool whose files can be cut at one instant |
//! | [`fuse`] | one file served through FUSE |
//! | [`device`] | such a file whose reads, writes and flushes can fail or hang |
//! | [`block_front_end`] | C-6: cycles while a file system is made and filled |
//! | [`hanging`] | C-10: a read that never ends |
//! | [`write_log`] | the log of the writes to such a file, played back up to any point |
//! | [`crash_points`] | every state of a real file system's device, replicated and compared |
//! | [`failing`] | SYS-2: writes, flushes and reads that fail |
//! | [`failing_ranges`] | R: ranges that can't be written, tried again, and a promotion meanwhile |
//! | [`failing_state`] | SYS-2: a state volume that fails or is full |

mod block_front_end;
mod crash_points;
mod device;
mod disks;
mod failing;
mod failing_ranges;
mod failing_state;
mod fuse;
mod hanging;
mod write_log;
