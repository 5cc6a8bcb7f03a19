//! A file whose reads, writes and flushes can be made to fail or to hang, and which remembers what
//! was asked of it.
//!
//! It stands over a file of the same name, so whoever opens that name talks to it. A flush that fails
//! loses everything written since the one before, as a disk does that dies with its cache.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use ferry::units::Extent;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::fuse::{Backing, Call, Mounted, Reply};
use super::write_log::{Entry, WriteLog};

/// What can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Read,
    /// Writing data or zeros.
    Write,
    Flush,
}

/// Something that was asked, and whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Through which opening of the file.
    pub handle: u64,
    pub op: Op,
    pub done: bool,
}

/// The device.
pub struct Device {
    path: PathBuf,
    faulty: Arc<Faulty>,
    mounted: Mounted,
}

/// While it lives, what it was made for hangs; dropping it lets everything go on.
pub struct Hanging<'a>(&'a Device);

struct Faulty {
    store: File,
    size: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    asked: Vec<Asked>,
    /// What was there before each write since the last flush, in order.
    undo: Vec<(u64, Vec<u8>)>,
    log: Option<WriteLog>,
}

#[derive(Clone, Copy)]
struct Fault {
    op: Op,
    range: Extent,
    hangs: bool,
}

impl Device {
    /// Puts a device over the file at `path`, which keeps its content and its size.
    pub fn over(path: &Path) -> Device {
        let store = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let size = store.metadata().unwrap().len();
        let faulty = Arc::new(Faulty {
            store,
            size,
            state: Mutex::default(),
        });
        Device {
            path: path.into(),
            mounted: Mounted::over(path, faulty.clone()),
            faulty,
        }
    }

    /// The device's name: what movers and loop devices open.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for the file underneath, which shows the content without asking the device.
    pub fn underneath(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.faulty.store.as_raw_fd()).into()
    }

    /// The whole of it.
    pub fn whole(&self) -> Extent {
        Extent::new(0, self.faulty.size)
    }

    /// Makes `op` fail with EIO where it touches `range`. A flush touches everything.
    pub fn fail(&self, op: Op, range: Extent) {
        let hangs = false;
        self.faulty.lock().faults.push(Fault { op, range, hangs });
    }

    /// Makes `op` hang where it touches `range`.
    pub fn hang(&self, op: Op, range: Extent) -> Hanging<'_> {
        let hangs = true;
        self.faulty.lock().faults.push(Fault { op, range, hangs });
        Hanging(self)
    }

    /// Ends all faults, and answers whoever still waits.
    pub fn heal(&self) {
        self.faulty.lock().faults.clear();
        self.mounted.answer_all();
    }

    /// What was asked since this was asked last.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.faulty.lock().asked)
    }
}

impl Device {
    /// Starts to log every write and flush into `log`.
    pub fn log_into(&self, log: WriteLog) {
        self.faulty.lock().log = Some(log);
    }

    /// Ends logging.
    pub fn take_log(&self) -> WriteLog {
        self.faulty.lock().log.take().expect("nothing was logged")
    }

    /// How many entries the log has.
    pub fn logged(&self) -> usize {
        let state = self.faulty.lock();
        state.log.as_ref().map_or(0, |log| log.entries().len())
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.heal();
    }
}

impl Faulty {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn read(&self, extent: Extent) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(extent.len).unwrap()];
        self.store.read_exact_at(&mut bytes, extent.offset).unwrap();
        bytes
    }

    fn remember(&self, state: &mut State, extent: Extent) {
        state.undo.push((extent.offset, self.read(extent)));
    }

    fn done(&self, state: &mut State, call: Call<'_>) -> Reply {
        match call {
            Call::Read(_, extent) => return Reply::Done(self.read(extent)),
            Call::Write(_, offset, data) => {
                self.remember(state, Extent::new(offset, data.len() as u64));
                self.store.write_all_at(data, offset).unwrap();
                if let Some(log) = &mut state.log {
                    log.write(offset, data);
                }
            }
            Call::Zero(_, extent) => {
                self.remember(state, extent);
                zero(&self.store, extent);
                if let Some(log) = &mut state.log {
                    log.push(Entry::Zero(extent));
                }
            }
            Call::Flush(_) => {
                state.undo.clear();
                if let Some(log) = &mut state.log {
                    log.push(Entry::Flush);
                }
            }
        }
        Reply::Done(Vec::new())
    }

    fn lose(&self, state: &mut State) {
        for (offset, bytes) in state.undo.drain(..).rev() {
            self.store.write_all_at(&bytes, offset).unwrap();
        }
    }
}

impl Backing for Faulty {
    fn size(&self) -> u64 {
        self.size
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let (handle, op, touched) = match call {
            Call::Read(handle, extent) => (handle, Op::Read, extent),
            Call::Write(handle, offset, data) => {
                (handle, Op::Write, Extent::new(offset, data.len() as u64))
            }
            Call::Zero(handle, extent) => (handle, Op::Write, extent),
            Call::Flush(handle) => (handle, Op::Flush, Extent::new(0, self.size)),
        };
        let mut state = self.lock();
        let fault = state.faults.iter().copied().find(|fault| {
            fault.op == op
                && fault.range.offset < touched.end()
                && touched.offset < fault.range.end()
        });
        let done = fault.is_none();
        state.asked.push(Asked { handle, op, done });
        match fault {
            None => self.done(&mut state, call),
            Some(fault) if fault.hangs => Reply::Later,
            Some(_) => {
                if op == Op::Flush {
                    self.lose(&mut state);
                }
                Reply::Failed(Errno::IO)
            }
        }
    }
}

/// Makes a range of a file zeros.
pub fn zero(file: &File, extent: Extent) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, extent.offset, extent.len).unwrap();
}
