//! Two sites and their movers, for one test.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use demo::certificates::Authority;
use demo::shipment::{Shipment, ship_once};
use demo::site::Site;
use protocol::units::{Epoch, Generation, ImageState, PairId, PairName, Point, Role};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use storage::volume::digest::digest;
use uuid::Uuid;
use wire::control::{
    CycleReport, DemoteRequest, MoverStatus, PromoteRequest, Request, SuperblockReport,
};

/// One MiB.
pub const MIB: u64 = 1 << 20;

/// Two sites: east begins as primary, west as a blank standby.
pub struct World {
    /// Goes with the world, where it is the world's own.
    _base: Option<tempfile::TempDir>,
    pub east: Site,
    pub west: Site,
    pub random: StdRng,
    seq: u64,
    pub epoch: u64,
}

impl World {
    /// Two sites with empty volumes of `size` bytes and superblocks.
    pub async fn new(size: u64) -> World {
        let base = tempfile::tempdir().unwrap();
        let mut world = World::at(base.path(), size).await;
        world._base = Some(base);
        world
    }

    /// The same in a directory of the caller's.
    pub async fn at(base: &Path, size: u64) -> World {
        let authority = Authority::new().unwrap();
        let pair: PairName = "shop/orders".parse().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_ferry"));
        let site = |name| Site::create(base, name, &pair, size, &authority, program).unwrap();
        let world = World {
            east: site("east"),
            west: site("west"),
            _base: None,
            random: StdRng::seed_from_u64(11),
            seq: 0,
            epoch: 1,
        };
        let pair_id = PairId(Uuid::new_v4());
        let generation = Generation(Uuid::new_v4());
        for (site, role) in [(&world.east, Role::Primary), (&world.west, Role::Standby)] {
            site.init(role, pair_id, generation, &world.east.name)
                .await
                .unwrap();
        }
        world
    }

    /// The same with a full volume at east and its first copy at west.
    pub async fn with_baseline(base: &Path, size: u64) -> (World, Point) {
        let mut world = World::at(base, size).await;
        world.write(0, size);
        let point = world.baseline().await;
        (world, point)
    }

    /// The next cut's point.
    pub fn point(&mut self) -> Point {
        self.seq += 1;
        Point::new(self.epoch, self.seq)
    }

    /// Writes random bytes to east.
    pub fn write(&mut self, offset: u64, len: u64) {
        let mut data = vec![0; usize::try_from(len).unwrap()];
        self.random.fill_bytes(&mut data);
        self.east.write(offset, &data).unwrap();
    }

    /// Writes zeros to east.
    pub fn zero(&mut self, offset: u64, len: u64) {
        let data = vec![0; usize::try_from(len).unwrap()];
        self.east.write(offset, &data).unwrap();
    }

    /// Writes `count` random blocks of 4 KiB to random places of a site with `size` bytes.
    pub fn scatter(&mut self, east: bool, count: u64, size: u64) {
        let mut data = vec![0; 4096];
        for _ in 0..count {
            let offset = self.random.random_range(0..size / 4096) * 4096;
            self.random.fill_bytes(&mut data);
            let site = if east { &mut self.east } else { &mut self.west };
            site.write(offset, &data).unwrap();
        }
    }

    /// Cuts east and ships it whole, without a list; the copy must be equal.
    pub async fn baseline(&mut self) -> Point {
        let point = self.point();
        let (cut, _) = self.east.cut(point).unwrap();
        self.ship(&cut, Shipment::of(point)).await;
        point
    }

    /// Cuts east and ships what was written since `base`; the copy must be equal.
    pub async fn delta(&mut self, base: Point) -> (Point, CycleReport, MoverStatus) {
        let point = self.point();
        let (cut, written) = self.east.cut(point).unwrap();
        let shipment = Shipment::of(point).delta(base, written);
        let (report, status) = self.ship(&cut, shipment).await;
        (point, report, status)
    }

    /// Ships a cut of east; the copy must be equal.
    pub async fn ship(&mut self, cut: &Path, shipment: Shipment) -> (CycleReport, MoverStatus) {
        let result = ship_once(&self.east, cut, &self.west, &shipment)
            .await
            .unwrap();
        assert_equal(cut, &self.west.volume());
        result
    }

    /// The file of an earlier cut of east.
    pub fn cut_file(&self, point: Point) -> PathBuf {
        self.east.home.join(format!("cut-{point}.img"))
    }

    /// Promotes a site.
    pub async fn promote(&mut self, east: bool) -> SuperblockReport {
        let epoch = Epoch(self.epoch + 1);
        let site = if east { &self.east } else { &self.west };
        let report = promote(site, epoch).await;
        self.epoch = epoch.0;
        report
    }
}

/// A promotion request for the site to start `epoch`.
pub fn promotion(site: &Site, epoch: Epoch) -> Request {
    Request::Promote(PromoteRequest {
        epoch,
        generation: Generation(Uuid::from_u128(u128::from(epoch.0))),
        peer_head: None,
        requested_primary: site.name.clone(),
    })
}

/// Promotes a site and waits until it is recorded.
pub async fn promote(site: &Site, epoch: Epoch) -> SuperblockReport {
    let mut mover = site.start(&site.volume(), false).await.unwrap();
    mover.driver.tell(promotion(site, epoch)).await.unwrap();
    let status = mover
        .driver
        .wait_for(std::time::Duration::from_secs(60), |status| {
            status
                .superblock
                .as_ref()
                .is_some_and(|s| s.epoch == epoch && s.role == Role::Primary)
        })
        .await
        .unwrap();
    mover.stop().await.unwrap();
    status.superblock.unwrap()
}

/// Demotes a site under the primary that `promoted` describes.
pub async fn demote(
    site: &Site,
    promoted: &SuperblockReport,
    clean_at: Option<Point>,
) -> SuperblockReport {
    let mut mover = site.start(&site.volume(), false).await.unwrap();
    let request = DemoteRequest {
        epoch: promoted.epoch,
        lineage: promoted.lineage.clone(),
        clean_at,
        requested_primary: promoted.requested_primary.clone(),
    };
    mover.driver.tell(Request::Demote(request)).await.unwrap();
    let status = mover.driver.status().await.unwrap();
    mover.stop().await.unwrap();
    status.superblock.unwrap()
}

/// What a site's superblock says, once what was interrupted is resumed.
pub async fn superblock(site: &Site) -> SuperblockReport {
    let mut mover = site.start(&site.volume(), false).await.unwrap();
    let status = mover
        .driver
        .wait_for(std::time::Duration::from_secs(60), |status| {
            let image = status
                .superblock
                .as_ref()
                .map(|superblock| superblock.image);
            !matches!(image, Some(ImageState::Redo(_)))
        })
        .await
        .unwrap();
    mover.stop().await.unwrap();
    status.superblock.unwrap()
}

/// Both files hold the same bytes.
pub fn assert_equal(ours: &Path, theirs: &Path) {
    assert_eq!(
        digest(ours).unwrap(),
        digest(theirs).unwrap(),
        "{} and {} differ",
        ours.display(),
        theirs.display()
    );
}

/// Nothing of a cycle is left on a standby's state volume.
pub fn assert_nothing_left(site: &Site) {
    for left in ["staging", "in-place", "digests.next"] {
        let left = site.meta().join(left);
        assert!(!left.exists(), "{} is left over", left.display());
    }
}

/// The bytes of a file at a place.
pub fn bytes_at(path: &Path, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let file = OpenOptions::new().read(true).open(path).unwrap();
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// The point of a consistent image.
pub fn consistent(report: &SuperblockReport) -> Option<Point> {
    match report.image {
        ImageState::Consistent(point) => Some(point),
        _ => None,
    }
}
