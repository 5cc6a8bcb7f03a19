//! Having the target expect a cut: the same for a cycle and for a slice of a verification.

use crate::decide::DecisionBuilder;
use crate::observe::SiteView;
use protocol::units::Point;
use wire::control::{Activity, MoverStatus, ReceiveRequest, Request};

/// Has the target expect `point`. What it is at gives way: a cut that was abandoned, or never begun for
/// good, or a slice of a verification.
pub fn receive(
    d: &mut DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    target: &MoverStatus,
    point: Point,
) {
    if target.activity == Activity::Receiving(point) {
        return;
    }
    if target.activity != Activity::Idle {
        let reason = format!("cut {point} comes instead");
        d.ask(&standby.name, Request::Abort { reason });
    }
    let request = ReceiveRequest {
        cycle: point,
        peer_site: primary.name.clone(),
    };
    d.ask(&standby.name, Request::Receive(request));
}
