//! Requests that must not be followed, and peers that must not be let in.

use demo::certificates::Authority;
use demo::shipment::{Shipment, ship_once};
use protocol::units::{Epoch, Role};
use wire::control::{CycleOutcome, RefusalKind, Request, Response};
use wire::{Asked, Trace};

use crate::world::{MIB, World, promotion, superblock};

/// An image that was never committed is never promoted.
#[tokio::test]
async fn an_empty_standby_is_never_promoted() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, 8 * MIB);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let request = promotion(&world.west, Epoch(2));
    let refusal = target.driver.expect_refusal(request.clone()).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::NoCommittedPoint);
    // The first copy is on the volume, but nobody has committed it.
    let shipment = Shipment::of(point);
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    assert!(matches!(status.last, Some(CycleOutcome::Applied(_))));
    let refusal = target.driver.expect_refusal(request).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::NoCommittedPoint);
}

/// One search finds what a request led to: its trace is in every line that the mover logs for it.
#[tokio::test]
async fn what_a_request_leads_to_is_logged_with_its_trace() {
    let mut world = World::new(MIB).await;
    world.write(0, MIB);
    world.baseline().await;
    let mut mover = world.west.start(&world.west.volume(), false).await.unwrap();
    let trace = Trace::try_from("9f3a77c1-role-2".to_string()).unwrap();
    let asked = Asked {
        trace: Some(trace.clone()),
        request: promotion(&world.west, Epoch(2)),
    };
    let answer = mover.driver.ask(asked).await.unwrap();
    assert_eq!(answer, Response::Accepted);
    let promoted = || {
        let log = std::fs::read_to_string(world.west.log()).unwrap();
        log.lines()
            .find(|line| line.contains("promoted"))
            .map(String::from)
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while promoted().is_none() && std::time::Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let line = promoted().expect("a line about the promotion");
    for part in [trace.to_string().as_str(), "pair=", "site="] {
        assert!(line.contains(part), "{line}");
    }
}

/// A promotion in the middle of a cycle takes the committed image and drops what is not whole.
#[tokio::test]
async fn a_promotion_in_the_middle_of_a_cycle_takes_the_committed_image() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    world.write(0, size);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let slow = Shipment {
        bytes_per_second: Some(2 * MIB),
        ..Shipment::of(point).delta(base, written)
    };
    slow.begin(&mut source, &mut target).await.unwrap();
    let second = std::time::Duration::from_secs(30);
    target
        .driver
        .wait_for(second, |s| s.progress.is_some_and(|p| p.data_bytes > 0))
        .await
        .unwrap();
    target
        .driver
        .tell(promotion(&world.west, Epoch(2)))
        .await
        .unwrap();
    let status = target
        .driver
        .wait_for(second, |s| {
            s.superblock
                .as_ref()
                .is_some_and(|s| s.role == Role::Primary)
        })
        .await
        .unwrap();
    assert_eq!(status.superblock.unwrap().committed, Some(base));
    crate::world::assert_equal(&world.cut_file(base), &world.west.volume());
    // The source hears that it is over.
    let status = slow.ended(&mut source).await.unwrap();
    assert!(
        matches!(status.last, Some(CycleOutcome::Failed { .. })),
        "{:?}",
        status.last
    );
    assert!(
        !world.west.meta().join("staging").exists(),
        "staging is left over"
    );
}

/// A lower epoch is refused with both numbers named.
#[tokio::test]
async fn a_lower_epoch_is_refused_and_both_are_named() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, MIB);
    let base = world.baseline().await;
    world.promote(false).await;
    let mut mover = world.west.start(&world.west.volume(), false).await.unwrap();
    for request in [
        promotion(&world.east, Epoch(1)),
        Request::Commit { cycle: base },
    ] {
        let refusal = mover.driver.expect_refusal(request).await.unwrap();
        assert_eq!(refusal.kind, RefusalKind::StaleEpoch, "{refusal:?}");
        let named = ["epoch 1", "epoch 2"]
            .iter()
            .all(|e| refusal.message.contains(e));
        assert!(named || refusal.message.contains("epoch 3"), "{refusal:?}");
    }
    // The very same promotion again is taken, and changes nothing.
    mover
        .driver
        .tell(promotion(&world.west, Epoch(2)))
        .await
        .unwrap();
    mover.stop().await.unwrap();
    assert_eq!(superblock(&world.west).await.epoch, Epoch(2));
}

/// A commit of anything but the cut that is completely on the volume is refused.
#[tokio::test]
async fn a_commit_of_what_is_not_there_is_refused() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, MIB);
    world.baseline().await;
    let mut mover = world.west.start(&world.west.volume(), false).await.unwrap();
    let refusal = mover
        .driver
        .expect_refusal(Request::Commit {
            cycle: world.point(),
        })
        .await
        .unwrap();
    assert_eq!(refusal.kind, RefusalKind::OutOfOrder);
}

/// Both ends check who is at the other one before a byte of the volume.
#[tokio::test]
async fn a_peer_of_another_name_or_authority_gets_nothing() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, MIB);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    // The target expects a site that the source is not.
    let receive = wire::control::ReceiveRequest {
        cycle: point,
        peer_site: "north".parse().unwrap(),
    };
    target.driver.tell(Request::Receive(receive)).await.unwrap();
    let shipment = Shipment::of(point);
    source
        .driver
        .tell(ship(&shipment, target.address.clone()))
        .await
        .unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    match status.last {
        Some(CycleOutcome::Failed { cause, .. }) => {
            assert_eq!(cause.kind, RefusalKind::WrongIdentity, "{cause:?}");
        }
        other => panic!("a site that was not asked was served: {other:?}"),
    }
    target.stop().await.unwrap();

    // A target whose certificate another authority has signed is not spoken to.
    let stranger = Authority::new().unwrap();
    let name = format!("ferry://west/{}", world.west.pair).parse().unwrap();
    stranger
        .write_leaf(&name, &world.west.home.join("tls"))
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args([
            "mover",
            "--site",
            "west",
            "--pair",
            "shop/orders",
            "--listen",
            &address,
            "--meta",
        ])
        .arg(world.west.meta())
        .arg("--tls")
        .arg(world.west.home.join("tls"))
        .spawn()
        .unwrap();
    let mut request = shipment.clone();
    request.cycle = world.point();
    source.driver.tell(ship(&request, address)).await.unwrap();
    let status = request.ended(&mut source).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    match status.last {
        Some(CycleOutcome::Failed { cause, .. }) => assert!(
            matches!(
                cause.kind,
                RefusalKind::Stalled | RefusalKind::PeerUnreachable
            ),
            "{cause:?}"
        ),
        other => panic!("a stranger was served: {other:?}"),
    }
}

fn ship(shipment: &Shipment, peer: String) -> Request {
    Request::Ship(wire::control::ShipRequest {
        cycle: shipment.cycle,
        peer,
        peer_site: "west".parse().unwrap(),
        changes: wire::control::ChangeList::Nothing,
        changes_reason: String::new(),
        discard_consent: None,
        image: None,
        transfer: wire::control::Transfer {
            bytes_per_second: None,
            compression: wire::control::Compression::Off,
            stall_timeout_ms: 5_000,
        },
    })
}

/// D-5: "a source shorter than the committed image is refused".
#[tokio::test]
async fn a_cut_whose_device_is_cut_short_is_not_shipped() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    world.baseline().await;
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    file.set_len(size / 2).unwrap();
    let failed = ship_once(&world.east, &cut, &world.west, &Shipment::of(point)).await;
    let why = format!("{:#}", failed.unwrap_err());
    assert!(why.contains("a volume never shrinks"), "{why}");
    file.set_len(size).unwrap();
    world.ship(&cut, Shipment::of(point)).await;
}

/// D-16: "the restored device has the volume's size and a file system's signature; otherwise
/// `NotABlockImage` …, before anything is committed". Once something is, the driver is known.
#[tokio::test]
async fn a_first_cut_that_is_no_image_of_the_volume_is_not_shipped() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let image = |bytes, file_system| Shipment {
        image: Some(wire::control::BlockImage { bytes, file_system }),
        ..Shipment::of(point)
    };
    for (shipment, says) in [
        (
            image(2 * size, false),
            "16777216 bytes, but the volume 33554432",
        ),
        (image(size, true), "does not begin with a file system"),
    ] {
        let failed = ship_once(&world.east, &cut, &world.west, &shipment).await;
        let why = format!("{:#}", failed.unwrap_err());
        assert!(why.contains(says), "{why}");
    }
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"XFSB", 0).unwrap();
    world.ship(&cut, image(size, true)).await;
    let next = world.point();
    let (cut, _) = world.east.cut(next).unwrap();
    let later = Shipment {
        cycle: next,
        ..image(size, true)
    };
    world.ship(&cut, later).await;
}
