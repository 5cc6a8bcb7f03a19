//! The operator as a process: starts everything, runs the controller while it leads, ends cleanly.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::admin::{AdminError, Health};
use crate::ca;
use crate::ca::{CaError, LEAF_LIFETIME};
use crate::changed_blocks::{MetadataClient, ServiceAccount};
use crate::cli::Args;
use crate::context::{Context, Slots};
use crate::events::Events;
use crate::lease;
use crate::lease::LeaseError;
use crate::link::MoverLinks;
use crate::metrics::Metrics;
use crate::reconcile::{error_policy, reconcile};
use api::snapshots::VolumeSnapshot;
use api::{Promotion, ReplicationPair, Resync, names};

/// The lease that the leader holds.
const LEASE: &str = "ferry-operator";
/// Wake-ups by movers that may wait to be processed. Beyond it a mover's link waits; its newest
/// status is kept, so nothing is lost.
const WAKES_MAX: usize = 1024;
/// How often certificates are renewed if due.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3600);

/// Why the operator has ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Threads is unavailable.
    #[error("failed to start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// No API server is configured.
    #[error("failed to find a Kubernetes API server: {0}; run in a pod, or set KUBECONFIG")]
    Client(#[source] Box<kube::Error>),
    /// The API server does not serve pairs, or the requests for them.
    #[error(
        "failed to list ReplicationPairs, Promotions and Resyncs: {0}; install the CRDs (the chart does, or `ferry crd | kubectl apply -f -`) and the operator's ClusterRole"
    )]
    Crd(#[source] Box<kube::Error>),
    /// No certificates.
    #[error(transparent)]
    Certificates(#[from] CaError),
    /// No leadership.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// No probes and metrics.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// Runs until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// When something that it can't do without is unavailable.
pub async fn run(args: Args) -> Result<(), RunError> {
    let client = Client::try_default()
        .await
        .map_err(|e| RunError::Client(Box::new(e)))?;
    let (stop, health, metrics) = (
        CancellationToken::new(),
        Health::default(),
        Arc::new(Metrics::new()),
    );
    on_signal(stop.clone());
    let admin = tokio::spawn(admin::serve(
        args.listen,
        health.clone(),
        metrics.clone(),
        stop.clone(),
    ));
    let api: Api<ReplicationPair> = Api::all(client.clone());
    let one = kube::api::ListParams::default().limit(1);
    let crds = |e| RunError::Crd(Box::new(e));
    api.list(&one).await.map_err(crds)?;
    let promotions: Api<Promotion> = Api::all(client.clone());
    promotions.list(&one).await.map_err(crds)?;
    let resyncs: Api<Resync> = Api::all(client.clone());
    resyncs.list(&one).await.map_err(crds)?;
    health.set_ready(true);
    let instance = args.instance_name();
    let mut leadership = lease::elect(client.clone(), &args.namespace, LEASE, &instance).await?;
    tokio::select! {
        acquired = leadership.acquired() => acquired?,
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!(%instance, "leading");
    let (wake, wakes) = mpsc::channel(WAKES_MAX);
    let ctx = context(&args, client.clone(), metrics, wake.clone()).await?;
    // No role is moved before every request is known: a newer one may count.
    tokio::select! {
        ((), ()) = async {
            tokio::join!(
                ctx.promotions.watch(client.clone(), wake.clone()),
                ctx.resyncs.watch(client.clone(), wake.clone()),
            )
        } => {}
        () = stop.cancelled() => return Ok(()),
        lost = leadership.lost() => return Err(lost.into()),
    }
    let certificates = tokio::spawn(look_after_certificates(
        ctx.clone(),
        args.namespace.clone(),
        stop.clone(),
    ));
    let outcome = tokio::select! {
        () = control(ctx, &args, wakes, stop.clone()) => Ok(()),
        lost = leadership.lost() => Err(lost),
    };
    stop.cancel();
    certificates.abort();
    if outcome.is_ok() {
        leadership.release().await;
    }
    if let Ok(Err(error)) = admin.await {
        return Err(error.into());
    }
    Ok(outcome?)
}

async fn context(
    args: &Args,
    client: Client,
    metrics: Arc<Metrics>,
    wake: mpsc::Sender<ObjectRef<ReplicationPair>>,
) -> Result<Arc<Context>, RunError> {
    let now = Timestamp::now();
    let authority = ca::load_or_create(&client, &args.namespace, now).await?;
    let identity = ca::operator_identity(&authority, now)?;
    if let Some(at) = authority.expires_at() {
        metrics.set_ca_expiry(at);
    }
    let account = ServiceAccount {
        namespace: args.namespace.clone(),
        name: args.service_account.clone(),
    };
    Ok(Arc::new(Context {
        sites: args.site_names(),
        movers: args.movers(),
        links: MoverLinks::new(Arc::new(identity), wake),
        metadata: MetadataClient::new(client.clone(), account),
        events: Events::new(client.clone(), &args.instance_name()),
        metrics,
        authority: RwLock::new(Arc::new(authority)),
        classes: Default::default(),
        kinds: Default::default(),
        slots: Slots::new(args.active_pairs_max),
        verifications: Slots::for_verifications(args.active_pairs_max),
        backoffs: Default::default(),
        pairs: Default::default(),
        promotions: Default::default(),
        resyncs: Default::default(),
        feeds: Default::default(),
        untracked: Default::default(),
        timelines: Default::default(),
        client,
    }))
}

/// Runs the controller until `stop`, and lets the reconciles that have begun finish.
async fn control(
    ctx: Arc<Context>,
    args: &Args,
    wakes: mpsc::Receiver<ObjectRef<ReplicationPair>>,
    stop: CancellationToken,
) {
    let client = ctx.client.clone();
    let ours = watcher::Config::default().labels(&format!(
        "{}={}",
        names::MANAGED_BY_LABEL,
        names::MANAGED_BY
    ));
    let main = Controller::new(
        Api::<ReplicationPair>::all(client.clone()),
        watcher::Config::default(),
    )
    .with_config(controller::Config::default().concurrency(args.concurrency));
    let pairs = main.store();
    let mut main = main
        .watches(Api::<Pod>::all(client.clone()), ours.clone(), |pod| {
            of_label(&pod)
        })
        .watches(
            Api::<PersistentVolumeClaim>::all(client.clone()),
            watcher::Config::default(),
            {
                let pairs = pairs.clone();
                move |claim| of_claim(&claim, &pairs)
            },
        );
    // Without the snapshot API a watch of it would only fill the log; pairs say what is missing.
    if Api::<VolumeSnapshot>::all(client.clone())
        .list(&kube::api::ListParams::default().limit(1))
        .await
        .is_ok()
    {
        main = main.watches(Api::<VolumeSnapshot>::all(client), ours, |snapshot| {
            of_label(&snapshot)
        });
    }
    let _ = ctx.pairs.set(pairs);
    main.reconcile_on(ReceiverStream::new(wakes))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(reconcile, error_policy, ctx)
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                tracing::debug!(%error, "the controller");
            }
        })
        .await;
}

/// The pair that an object's label names.
fn of_label<K: Resource>(object: &K) -> Option<ObjectRef<ReplicationPair>> {
    let pair = object.labels().get(names::PAIR_LABEL)?;
    Some(ObjectRef::new(pair).within(&object.namespace()?))
}

/// The pair of a claim: by its label, or because it is the application's.
fn of_claim(
    claim: &PersistentVolumeClaim,
    pairs: &Store<ReplicationPair>,
) -> Vec<ObjectRef<ReplicationPair>> {
    if let Some(pair) = of_label(claim) {
        return vec![pair];
    }
    let (name, namespace) = (claim.name_any(), claim.namespace());
    pairs
        .state()
        .iter()
        .filter(|pair| pair.namespace() == namespace && pair.spec.claim_name == name)
        .map(|pair| ObjectRef::from_obj(&**pair))
        .collect()
}

/// Rotates the authority and our own identity in time. Movers get theirs when they start.
async fn look_after_certificates(ctx: Arc<Context>, namespace: String, stop: CancellationToken) {
    let mut made = Timestamp::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATES_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let now = Timestamp::now();
        let authority = match ca::load_or_create(&ctx.client, &namespace, now).await {
            Ok(authority) => Arc::new(authority),
            Err(error) => {
                tracing::error!(%error, "certificates are not renewed; the present ones go on working for days");
                continue;
            }
        };
        let changed = authority.bundle() != ctx.authority().bundle();
        let old = now.duration_since(made).unsigned_abs() > LEAF_LIFETIME / 2;
        ctx.set_authority(authority.clone());
        if changed || old {
            match ca::operator_identity(&authority, now) {
                Ok(identity) => {
                    ctx.links.set_identity(Arc::new(identity));
                    made = now;
                }
                Err(error) => {
                    tracing::error!(%error, "the operator's own certificate is not renewed")
                }
            }
        }
    }
}

fn on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("ending");
        stop.cancel();
    });
}
