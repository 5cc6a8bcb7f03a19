//! Requests to movers.

use std::time::Duration;

use crate::apply::{Error, Round};
use crate::link::MoverKey;
use crate::observe::address;
use planner::observe::Observed;
use protocol::units::{PairName, SiteName};
use wire::Asked;
use wire::control::Request;

/// How long to wait for a mover's report to show a request. Beyond it the reconcile goes on with the old
/// report, and the request is repeated, which is harmless.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);
/// How often to look for it meanwhile.
const RECHECK_AFTER: Duration = Duration::from_millis(10);

/// The link to the mover at `site`, as observed.
pub fn key(observed: &Observed, pair: &PairName, site: &SiteName) -> Result<MoverKey, Error> {
    let none = || Error::NoMover { site: site.clone() };
    let pod = observed
        .site(site)
        .and_then(|view| view.pod.as_ref())
        .ok_or_else(none)?;
    Ok(MoverKey {
        pair: pair.clone(),
        site: site.clone(),
        pod_uid: pod.uid.clone(),
        address: address(pod.ip.as_deref().ok_or_else(none)?),
    })
}

/// Gives an order of which the report shows nothing.
pub async fn tell(round: &Round<'_>, key: &MoverKey, request: Request) -> Result<(), Error> {
    let asked = Asked {
        trace: round.trace.clone(),
        request,
    };
    let links = &round.ctx.links;
    links.ask(key, asked).await.map_err(|source| Error::Mover {
        site: key.site.clone(),
        source: Box::new(source),
    })
}

/// Gives a request and waits until the mover's report shows that something has come of it, so that
/// the next decision does not rest on a report from before.
pub async fn give(round: &Round<'_>, key: &MoverKey, request: Request) -> Result<(), Error> {
    let version = || {
        round
            .ctx
            .links
            .status(key)
            .map_or(0, |status| status.version)
    };
    let before = version();
    tell(round, key, request).await?;
    let shown = async {
        while version() == before {
            tokio::time::sleep(RECHECK_AFTER).await;
        }
    };
    if tokio::time::timeout(SHOWN_WITHIN, shown).await.is_err() {
        tracing::debug!(site = %key.site, "the mover's report shows nothing new after a request");
    }
    Ok(())
}
