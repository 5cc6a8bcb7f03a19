//! What a mover is started with, opened and checked.

use std::path::PathBuf;
use std::sync::Arc;

use protocol::units::{PairName, PeerName, SiteName, VolumeId};
use storage::seam::{BlockFile, Clock, Directory, Disk, DiskError, SystemClock};
use storage::volume::{DeviceError, has_file_system, open_source, open_target};
use transport::{LinkError, TlsDir, TlsError};

/// The least memory that a mover works in, in bytes; less is refused at the start.
pub const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// The share of the memory budget that reads under way may take, as a divisor. The rest is for
/// queues, frames and the digests of what is being compared.
const READER_SHARE: u64 = 4;

/// The most that reads under way take, whatever the budget, in bytes. Eight threads that read 1 MiB
/// each keep a fast disk busy, and about as much again waits to be sent; more was no faster.
const READER_BYTES_MAX: u64 = 32 << 20;

/// What a mover is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site that it works for.
    pub site: SiteName,
    /// The pair that it works for.
    pub pair: PairName,
    /// The state volume's directory.
    pub meta: PathBuf,
    /// The volume's device or file, if it has one.
    pub device: Option<PathBuf>,
    /// Whether the device is only ever read.
    pub read_only: bool,
    /// Which volume the device is.
    pub volume: Option<VolumeId>,
    /// The committed point at which somebody else has used it.
    pub doubted: Option<String>,
    /// The directory with its certificates.
    pub tls: PathBuf,
    /// The memory budget in bytes.
    pub memory: u64,
}

/// What a mover works with.
#[derive(Clone)]
pub struct Setup {
    /// The site that it works for.
    pub site: SiteName,
    /// The pair that it works for.
    pub pair: PairName,
    /// Its certificates.
    pub tls: Arc<TlsDir>,
    /// The state volume.
    pub disk: Arc<dyn Disk>,
    /// The volume, if it has one.
    pub device: Option<Arc<dyn BlockFile>>,
    /// Whether the volume is only ever read.
    pub read_only: bool,
    /// Which volume it is, where its storage has said so.
    pub volume: Option<VolumeId>,
    /// The committed point at which somebody else has used it.
    pub doubted: Option<String>,
    /// Whether the volume begins with the signature of a file system.
    pub file_system: bool,
    /// The most memory that open reads take together, in bytes.
    pub reader_bytes: usize,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Why a mover can't be started, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The memory budget is too small.
    #[error("a memory budget of {given} bytes is too small: give at least {MEMORY_BYTES_MIN}")]
    Memory {
        /// What was given.
        given: u64,
    },
    /// The state volume can't be used.
    #[error("failed to open the state volume: {0}")]
    Metadata(#[source] DiskError),
    /// What is on disk is not known: the superblock could not be saved, or a device does not answer.
    #[error("nothing more is done: {0}")]
    Unknown(String),
    /// The volume can't be used.
    #[error("failed to open the volume: {0}")]
    Device(#[from] DeviceError),
    /// The certificates can't be used.
    #[error("failed to use the certificates: {0}")]
    Tls(#[from] TlsError),
    /// The certificates are of another program.
    #[error("the certificate names {found}, but this mover is {expected}: check what is mounted")]
    Identity {
        /// The name in the certificate.
        found: Box<PeerName>,
        /// The name that it should have.
        expected: Box<PeerName>,
    },
    /// The address can't be listened on.
    #[error(transparent)]
    Listen(#[from] LinkError),
}

impl SetupError {
    /// The process's exit code: 3 when what is on disk is not known, 2 for anything that was wrong
    /// from the start.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            SetupError::Unknown(_) => 3,
            _ => 2,
        }
    }
}

impl Setup {
    /// Opens what the options name.
    ///
    /// # Errors
    /// When something of it can't be used.
    pub fn open(options: &Options) -> Result<Setup, SetupError> {
        if options.memory < MEMORY_BYTES_MIN {
            return Err(SetupError::Memory {
                given: options.memory,
            });
        }
        let tls = Arc::new(TlsDir::new(&options.tls));
        let expected = PeerName::Mover {
            site: options.site.clone(),
            pair: options.pair.clone(),
        };
        let found = tls.own_name()?;
        if found != expected {
            return Err(SetupError::Identity {
                found: Box::new(found),
                expected: Box::new(expected),
            });
        }
        let disk = Directory::open(&options.meta).map_err(SetupError::Metadata)?;
        let device = match &options.device {
            None => None,
            Some(path) if options.read_only => Some(open_source(path)?),
            Some(path) => Some(open_target(path)?),
        };
        let reader = (options.memory / READER_SHARE).min(READER_BYTES_MAX);
        Ok(Setup {
            site: options.site.clone(),
            pair: options.pair.clone(),
            tls,
            disk: Arc::new(disk),
            file_system: match &device {
                // What can't be read now is reported with its range when it is shipped.
                Some(device) if options.read_only => {
                    has_file_system(&**device).unwrap_or_else(|error| {
                        tracing::warn!(%error, "the beginning of the volume can't be read");
                        true
                    })
                }
                _ => false,
            },
            device,
            read_only: options.read_only,
            volume: options.volume.clone(),
            doubted: options.doubted.clone(),
            reader_bytes: usize::try_from(reader).unwrap_or(usize::MAX),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// The volume's size in bytes; 0 without a volume.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.device.as_ref().map_or(0, |device| device.size())
    }
}
