//! One regular file served through FUSE, just enough of the protocol for a device: what is asked is
//! handed to a [`Backing`], which answers, fails, or lets the asker wait.
//!
//! Mounting a file system over a file needs root. Requests are taken one after the other by one
//! thread, so the order in which a backing sees them is the order in which they are done.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ferry::units::Extent;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What one write may carry at most.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// Pages of one request, for as many bytes.
const PAGES_MAX: u16 = 256;

const IN_HEADER_BYTES: usize = 40;
const ATTR_VALID_SECONDS: u64 = 3600;

// Requests, by their numbers in the kernel's `fuse.h`.
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;
const FALLOCATE: u32 = 43;

/// `FUSE_ASYNC_READ`, `FUSE_BIG_WRITES`, `FUSE_MAX_PAGES`.
const INIT_FLAGS: u32 = 1 | (1 << 5) | (1 << 22);

/// `FOPEN_DIRECT_IO`: nothing is cached, every call of a reader or writer arrives here.
const OPEN_DIRECT: u32 = 1;

/// `FALLOC_FL_PUNCH_HOLE` or `FALLOC_FL_ZERO_RANGE`: the range reads as zeros afterwards.
const FALLOCATE_ZEROS: u32 = 0x02 | 0x10;

/// What is asked of the file; a handle tells one opening of it from another.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Read(u64, Extent),
    Write(u64, u64, &'a [u8]),
    /// Make everything written durable.
    Flush(u64),
    /// Make the range zeros.
    Zero(u64, Extent),
}

/// What the file answers.
#[derive(Debug)]
pub enum Reply {
    /// It is done; for a read, with what was read.
    Done(Vec<u8>),
    Failed(Errno),
    /// Nothing, until [`Mounted::answer_all`].
    Later,
}

/// What stands behind the file.
pub trait Backing: Send + Sync + 'static {
    fn size(&self) -> u64;
    fn call(&self, call: Call<'_>) -> Reply;
}

/// The mount. Dropping it aborts what is unanswered and unmounts.
pub struct Mounted {
    path: PathBuf,
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

struct Server {
    backing: Arc<dyn Backing>,
    kernel: File,
    waiting: Mutex<Vec<Request>>,
}

struct Request {
    code: u32,
    unique: u64,
    body: Vec<u8>,
}

impl Mounted {
    /// Serves `backing` over the file at `path`.
    pub fn over(path: &Path, backing: Arc<dyn Backing>) -> Mounted {
        let kernel = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap_or_else(|error| panic!("/dev/fuse can't be opened: {error}"));
        let options = format!(
            "fd={},rootmode=100600,user_id=0,group_id=0\0",
            kernel.as_raw_fd()
        );
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("ferry-device", path, "fuse", flags, options)
            .unwrap_or_else(|error| panic!("FUSE can't be mounted at {}: {error}", path.display()));
        let server = Arc::new(Server {
            backing,
            kernel,
            waiting: Mutex::default(),
        });
        let serving = server.clone();
        Mounted {
            path: path.into(),
            server,
            thread: Some(std::thread::spawn(move || serving.serve())),
        }
    }

    /// Asks the backing again about everything that still waits for an answer.
    pub fn answer_all(&self) {
        let waiting = std::mem::take(&mut *self.server.waiting.lock().unwrap());
        for request in waiting {
            self.server.take(request);
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
        match unmount(&self.path, flags) {
            Ok(()) => drop(self.thread.take().map(JoinHandle::join)),
            // The thread would wait for ever.
            Err(error) => eprintln!("failed to unmount {}: {error}", self.path.display()),
        }
    }
}

impl Server {
    fn serve(&self) {
        let mut buffer = vec![0; WRITE_BYTES_MAX as usize + 4096];
        loop {
            let len = match (&self.kernel).read(&mut buffer) {
                Ok(len) => len,
                Err(error) => match Errno::from_io_error(&error) {
                    // Whoever asked has gone before it was taken.
                    Some(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
                    _ => return,
                },
            };
            self.take(Request {
                code: u32_at(&buffer, 4),
                unique: u64_at(&buffer, 8),
                body: buffer[IN_HEADER_BYTES..len].to_vec(),
            });
        }
    }

    fn take(&self, request: Request) {
        let body = &request.body[..];
        let reply = match request.code {
            FORGET | BATCH_FORGET | INTERRUPT => return,
            INIT => Ok(init(body)),
            GETATTR => Ok(attributes(self.backing.size())),
            OPEN => Ok(opened(request.unique)),
            RELEASE | FLUSH => Ok(Vec::new()),
            READ | WRITE | FSYNC | FALLOCATE => match self.asked(request.code, body) {
                Reply::Done(bytes) => Ok(bytes),
                Reply::Failed(errno) => Err(errno),
                Reply::Later => return self.waiting.lock().unwrap().push(request),
            },
            _ => Err(Errno::NOSYS),
        };
        let answered = self.answer(request.unique, &reply);
        if let Err(error) = answered {
            // Whoever asked was killed meanwhile, or the file is being unmounted.
            let gone = [Some(Errno::NOENT), Some(Errno::NODEV)];
            assert!(gone.contains(&Errno::from_io_error(&error)), "{error}");
        }
    }

    fn asked(&self, code: u32, body: &[u8]) -> Reply {
        let handle = u64_at(body, 0);
        let offset = u64_at(body, 8);
        match code {
            READ => {
                let end = (offset + u64::from(u32_at(body, 16))).min(self.backing.size());
                let extent = Extent::new(offset, end.saturating_sub(offset));
                self.backing.call(Call::Read(handle, extent))
            }
            WRITE => {
                let data = &body[40..];
                match self.backing.call(Call::Write(handle, offset, data)) {
                    Reply::Done(_) => {
                        let written = u32::try_from(data.len()).unwrap();
                        Reply::Done([written, 0].map(u32::to_le_bytes).concat())
                    }
                    other => other,
                }
            }
            FSYNC => self.backing.call(Call::Flush(handle)),
            _ if u32_at(body, 24) & FALLOCATE_ZEROS == 0 => Reply::Failed(Errno::OPNOTSUPP),
            _ => {
                let extent = Extent::new(offset, u64_at(body, 16));
                self.backing.call(Call::Zero(handle, extent))
            }
        }
    }

    fn answer(&self, unique: u64, reply: &Result<Vec<u8>, Errno>) -> io::Result<()> {
        let (error, bytes) = match reply {
            Ok(bytes) => (0, &bytes[..]),
            Err(errno) => (-errno.raw_os_error(), &[][..]),
        };
        let len = u32::try_from(16 + bytes.len()).unwrap();
        let mut answer = Vec::with_capacity(len as usize);
        answer.extend(len.to_le_bytes());
        answer.extend(error.to_le_bytes());
        answer.extend(unique.to_le_bytes());
        answer.extend(bytes);
        // One answer is one write.
        let written = (&self.kernel).write(&answer)?;
        assert_eq!(written, answer.len());
        Ok(())
    }
}

fn init(body: &[u8]) -> Vec<u8> {
    let minor = u32_at(body, 4).min(31);
    let flags = u32_at(body, 12) & INIT_FLAGS;
    let mut reply = [7, minor, u32_at(body, 8), flags]
        .map(u32::to_le_bytes)
        .concat();
    // Requests in the background, and how many of them are many.
    reply.extend([64_u16, 48].map(u16::to_le_bytes).concat());
    reply.extend([WRITE_BYTES_MAX, 1].map(u32::to_le_bytes).concat());
    reply.extend(PAGES_MAX.to_le_bytes());
    reply.resize(64, 0);
    reply
}

fn attributes(size: u64) -> Vec<u8> {
    let mut reply = [ATTR_VALID_SECONDS, 0].map(u64::to_le_bytes).concat();
    // Inode, size, blocks of 512 bytes, three times.
    reply.extend(
        [1, size, size.div_ceil(512), 0, 0, 0]
            .map(u64::to_le_bytes)
            .concat(),
    );
    // Nanoseconds of the times, mode, links, owner, group, device, block size, flags.
    let rest = [0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0_u32];
    reply.extend(rest.map(u32::to_le_bytes).concat());
    reply
}

fn opened(handle: u64) -> Vec<u8> {
    let mut reply = handle.to_le_bytes().to_vec();
    reply.extend([OPEN_DIRECT, 0].map(u32::to_le_bytes).concat());
    reply
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
