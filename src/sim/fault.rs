//! What can be made to fail on a simulated disk.

use rand::Rng;
use rand::rngs::StdRng;

/// No room.
pub(super) const ENOSPC: i32 = 28;

const EIO: i32 = 5;

/// What an operation on the disk is, for counting and failing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading, of a part or of a small file.
    Read,
    /// Writing or zeroing a part, resizing, allocating.
    Write,
    /// Making written parts durable.
    Flush,
    /// Creating, renaming, removing, replacing.
    Name,
}

/// An operation that will fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of operation.
    pub operation: Operation,
    /// How many of that kind succeed before it.
    pub after: u64,
    /// With which error number.
    pub errno: i32,
    /// Whether those after it fail too.
    pub lasting: bool,
}

impl Fault {
    /// An error of one of the first `among` kinds of operations, now and then a lasting one.
    pub(super) fn drawn(random: &mut StdRng, among: usize) -> Fault {
        let operations = [
            Operation::Read,
            Operation::Write,
            Operation::Flush,
            Operation::Name,
        ];
        let operation = operations[random.random_range(0..among)];
        let after = random.random_range(0..20);
        Fault {
            lasting: random.random_range(0..6_u32) == 0,
            ..Fault::once(operation, after)
        }
    }

    /// One I/O error, after `after` operations of the kind.
    #[must_use]
    pub fn once(operation: Operation, after: u64) -> Fault {
        Fault {
            operation,
            after,
            errno: EIO,
            lasting: false,
        }
    }

    /// No room for anything after `after` writes.
    #[must_use]
    pub fn full(after: u64) -> Fault {
        Fault {
            operation: Operation::Write,
            after,
            errno: ENOSPC,
            lasting: true,
        }
    }
}
