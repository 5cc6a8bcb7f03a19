//! SIGKILL in the middle of a cycle, then a forced failover, then the way back; again and again, with
//! the roles changing hands each time. What is promoted is always exactly a cut.

use std::path::PathBuf;
use std::time::Duration;

use demo::process::RunningMover;
use demo::shipment::{Shipment, ship_once};
use demo::site::Site;
use protocol::units::{CyclePhase, Epoch, Point};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::world::{MIB, World, assert_equal, demote};

/// The size of the volumes, in bytes.
const SIZE: u64 = 8 * MIB + 1024;

/// How long a phase is waited for before the kill comes all the same: it may be over already.
const PHASE_WAIT: Duration = Duration::from_millis(1500);

/// How many times each side is killed; fewer or more with `FERRY_KILLS=n`.
fn kills() -> u32 {
    std::env::var("FERRY_KILLS").map_or(50, |n| n.parse().expect("FERRY_KILLS is a number"))
}

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Source,
    Target,
}

/// When.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many milliseconds after the requests.
    After(u64),
    /// As soon as the target is seen in a phase.
    In(CyclePhase),
}

impl Moment {
    fn drawn(world: &mut World) -> Moment {
        const PHASES: [CyclePhase; 5] = [
            CyclePhase::Handshake,
            CyclePhase::Shipping,
            CyclePhase::Staged,
            CyclePhase::Applying,
            CyclePhase::Applied,
        ];
        let drawn = world.random.random_range(0..2 * PHASES.len());
        match PHASES.get(drawn) {
            Some(phase) => Moment::In(*phase),
            None => Moment::After(world.random.random_range(0..600)),
        }
    }

    async fn come(self, target: &mut RunningMover) {
        match self {
            Moment::After(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Moment::In(wanted) => {
                let reached = target.driver.wait_for(PHASE_WAIT, |status| {
                    status.progress.is_some_and(|p| p.phase == wanted)
                });
                // A phase that was missed is as good a moment as any.
                drop(reached.await);
            }
        }
    }
}

/// H-7, SYS-3: the source is killed at a random moment, the standby promoted, the old side consents
/// to follow.
#[tokio::test]
async fn h_7_sources_killed_and_the_standby_promoted_each_time() {
    killed_and_promoted(Victim::Source, 21).await;
}

/// H-7, SYS-3: the same with the target killed.
#[tokio::test]
async fn h_7_targets_killed_and_the_standby_promoted_each_time() {
    killed_and_promoted(Victim::Target, 22).await;
}

async fn killed_and_promoted(victim: Victim, seed: u64) {
    let mut world = World::new(SIZE).await;
    world.random = StdRng::seed_from_u64(seed);
    world.write(0, SIZE / 2);
    let mut base = world.baseline().await;
    let mut east_leads = true;
    let mut arrived = 0;
    for round in 0..kills() {
        world.scatter(east_leads, 400, SIZE);
        let cycle = world.point();
        let moment = Moment::drawn(&mut world);
        let context = format!("round {round}: {victim:?} killed, {moment:?}");
        interrupted(&mut world, east_leads, (base, cycle), victim, moment).await;

        let promoted = world.promote(!east_leads).await;
        let at = promoted
            .committed
            .unwrap_or_else(|| panic!("{context}: no committed point"));
        assert!([base, cycle].contains(&at), "{context}: {at} was promoted");
        assert_equal(
            &cut_file(side(&world, east_leads), at),
            &side(&world, !east_leads).volume(),
        );

        arrived += u32::from(at == cycle);

        demote(side(&world, east_leads), &promoted, None).await;
        for cut in [base, cycle] {
            std::fs::remove_file(cut_file(side(&world, east_leads), cut)).unwrap();
        }
        east_leads = !east_leads;
        base = followed(&mut world, east_leads, promoted.epoch).await;
    }
    assert!(
        kills() < 20 || (1..kills()).contains(&arrived),
        "the kills came all too early or all too late: {arrived} of {} cycles had arrived",
        kills()
    );
}

fn side(world: &World, east: bool) -> &Site {
    if east { &world.east } else { &world.west }
}

/// The file of a cut of this site.
fn cut_file(site: &Site, point: Point) -> PathBuf {
    site.home.join(format!("cut-{point}.img"))
}

/// Ships `cycle` from the side that leads and kills `victim` at `moment`. The other one has to stay
/// of use without it.
async fn interrupted(
    world: &mut World,
    east_leads: bool,
    (base, cycle): (Point, Point),
    victim: Victim,
    moment: Moment,
) {
    let source_site = if east_leads {
        &mut world.east
    } else {
        &mut world.west
    };
    let (cut, written) = source_site.cut(cycle).unwrap();
    let (source_site, target_site) = (side(world, east_leads), side(world, !east_leads));
    let mut source = source_site.start(&cut, true).await.unwrap();
    let mut target = target_site
        .start(&target_site.volume(), false)
        .await
        .unwrap();
    let shipment = Shipment::of(cycle).delta(base, written);
    shipment.begin(&mut source, &mut target).await.unwrap();
    moment.come(&mut target).await;
    let (dead, mut alive) = match victim {
        Victim::Source => (source, target),
        Victim::Target => (target, source),
    };
    dead.kill().unwrap();
    alive.driver.status().await.unwrap();
    alive.kill().unwrap();
}

/// The side that leads now takes writes and the other follows it, by consent; both are equal then.
async fn followed(world: &mut World, east_leads: bool, epoch: Epoch) -> Point {
    world.scatter(east_leads, 50, SIZE);
    let point = world.point();
    let source_site = if east_leads {
        &mut world.east
    } else {
        &mut world.west
    };
    let (cut, _) = source_site.cut(point).unwrap();
    let (source_site, target_site) = (side(world, east_leads), side(world, !east_leads));
    let shipment = Shipment {
        consent: Some(epoch),
        ..Shipment::of(point)
    };
    ship_once(source_site, &cut, target_site, &shipment)
        .await
        .unwrap();
    assert_equal(&cut, &target_site.volume());
    point
}
