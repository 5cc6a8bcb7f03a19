//! A device that takes a write and does not answer, under a mover in this very process.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use demo::driver::Driver;
use demo::site::Site;
use mover::runtime::Mover;
use mover::setup::{Setup, SetupError};
use protocol::units::{Extent, Point};
use storage::seam::{Access, BlockFile, Directory, DiskError, OsFile, SystemClock};
use transport::TlsDir;
use wire::control::{
    Activity, ChangeList, Compression, ReceiveRequest, Request, ShipRequest, Transfer,
};

use tokio::task::JoinHandle;

use crate::world::{MIB, World, assert_equal};

/// A volume whose writes wait while it hangs.
struct Hanging {
    file: OsFile,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    hangs: bool,
    waiting: u32,
}

impl Hanging {
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        while state.hangs {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
    }

    fn hang(&self, hangs: bool) {
        self.state.lock().unwrap().hangs = hangs;
        self.changed.notify_all();
    }

    fn wait_until_asked(&self) {
        let state = self.state.lock().unwrap();
        let limit = Duration::from_secs(20);
        let asked = self
            .changed
            .wait_timeout_while(state, limit, |s| s.waiting == 0);
        assert!(!asked.unwrap().1.timed_out(), "nothing was written");
    }
}

impl BlockFile for Hanging {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.wait();
        self.file.write_at(offset, data)
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.wait();
        self.file.zero(range)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.wait();
        self.file.flush()
    }

    fn is_poisoned(&self) -> bool {
        self.file.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.file.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.file.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.file.next_data(from)
    }
}

/// A mover of this site in this process, and how to reach it.
async fn mover_on_a_hanging_device(
    site: &Site,
) -> (
    Arc<Hanging>,
    Driver,
    String,
    JoinHandle<Result<(), SetupError>>,
) {
    let device = Arc::new(Hanging {
        file: OsFile::open(&site.volume(), Access::Write, false).unwrap(),
        state: Mutex::default(),
        changed: Condvar::new(),
    });
    let setup = Setup {
        site: site.name.clone(),
        pair: site.pair.clone(),
        tls: Arc::new(TlsDir::new(&site.home.join("tls"))),
        disk: Arc::new(Directory::open(&site.meta()).unwrap()),
        device: Some(device.clone()),
        read_only: false,
        file_system: false,
        volume: None,
        doubted: None,
        reader_bytes: 8 << 20,
        clock: Arc::new(SystemClock::new()),
    };
    let (mover, address) = Mover::bind(setup, "127.0.0.1:0").await.unwrap();
    let (address, running) = (address.to_string(), tokio::spawn(mover.run()));
    let operator = TlsDir::new(&site.home.join("../operator-tls"));
    let driver = Driver::connect(&address, &operator).await.unwrap();
    (device, driver, address, running)
}

/// D-6: a device that hangs keeps neither an abort nor status waiting; once it answers again the same
/// mover goes on, and what was aborted does not write into what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_6_abort_and_status_are_answered_while_the_device_hangs() {
    let size = 8 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let (device, mut target, address, running) = mover_on_a_hanging_device(&world.west).await;
    let mut source = world.east.start(&cut, true).await.unwrap();
    let receive = |cycle: Point| {
        Request::Receive(ReceiveRequest {
            cycle,
            peer_site: world.east.name.clone(),
        })
    };
    let ship = Request::Ship(ShipRequest {
        cycle: point,
        peer: address,
        peer_site: world.west.name.clone(),
        changes: ChangeList::Nothing,
        changes_reason: String::new(),
        discard_consent: None,
        image: None,
        transfer: Transfer {
            bytes_per_second: None,
            compression: Compression::Off,
            stall_timeout_ms: 30_000,
        },
    });
    device.hang(true);
    target.tell(receive(point)).await.unwrap();
    source.driver.tell(ship.clone()).await.unwrap();
    device.wait_until_asked();

    let started = Instant::now();
    let reason = "the device hangs".to_string();
    target.tell(Request::Abort { reason }).await.unwrap();
    let status = target.status().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "it had to wait"
    );
    assert_eq!(status.activity, Activity::Idle);
    // The next cycle is taken, but nothing of it is written over what still hangs.
    target.tell(receive(point)).await.unwrap();

    device.hang(false);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        // The source has seen the abort, or has lost its connection: it is asked again.
        source.driver.ask(ship.clone()).await.unwrap();
        target.ask(receive(point)).await.unwrap();
        let status = target.status().await.unwrap();
        if status.superblock.and_then(|s| s.applied) == Some(point) {
            break;
        }
        assert!(Instant::now() < until, "the cut never arrived");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    source.stop().await.unwrap();
    target.tell(Request::Shutdown).await.unwrap();
    running.await.unwrap().unwrap();
    assert_equal(&cut, &world.west.volume());
}
