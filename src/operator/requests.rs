//! How are the requests of people watched, read and answered?
//!
//! They are kept by a watch, so that a reconcile reads them without asking the API server. What this
//! operator has just written about one is known before the watch tells of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::context::{Context, lock};
use api::{Promotion, ReplicationPair, Resync, names};
use planner::render::PairRef;
use planner::requests::{RequestWrites, What, Write};
use protocol::units::PairName;

/// A request about a pair.
pub trait Request:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// The name of the pair that it is for.
    fn pair(&self) -> &str;
}

impl Request for Promotion {
    fn pair(&self) -> &str {
        &self.spec.pair_ref.name
    }
}

impl Request for Resync {
    fn pair(&self) -> &str {
        &self.spec.pair_ref.name
    }
}

/// The requests of one kind.
#[derive(Debug)]
pub struct Requests<K: Request> {
    store: OnceLock<Store<K>>,
    /// What was written here, by UID, with the version that it replaces.
    written: Mutex<HashMap<String, (Option<String>, K)>>,
}

impl<K: Request> Default for Requests<K> {
    fn default() -> Requests<K> {
        Requests {
            store: OnceLock::new(),
            written: Mutex::default(),
        }
    }
}

impl<K: Request> Requests<K> {
    /// Those that are for `pair`, as far as they are known.
    #[must_use]
    pub fn of(&self, pair: &PairName) -> Vec<K> {
        let all = self.store.get().map(Store::state).unwrap_or_default();
        let ours = all.iter().filter(|one| {
            one.namespace().as_deref() == Some(pair.namespace()) && one.pair() == pair.name()
        });
        ours.map(|one| self.newest(one)).collect()
    }

    /// What is known of an object that the watch has shown.
    fn newest(&self, seen: &Arc<K>) -> K {
        let mut written = lock(&self.written);
        let uid = seen.uid().unwrap_or_default();
        match written.get(&uid) {
            Some((before, new)) if *before == seen.resource_version() => new.clone(),
            Some(_) => {
                written.remove(&uid);
                seen.as_ref().clone()
            }
            None => seen.as_ref().clone(),
        }
    }

    fn wrote(&self, before: Option<String>, new: K) {
        let uid = new.uid().unwrap_or_default();
        lock(&self.written).insert(uid, (before, new));
    }

    /// Begins to watch them, and returns once all that there are are known. Whichever comes or changes
    /// wakes its pair.
    pub async fn watch(&self, client: Client, wake: mpsc::Sender<ObjectRef<ReplicationPair>>) {
        let (store, writer) = reflector::store();
        let stream = watcher(Api::<K>::all(client), watcher::Config::default())
            .default_backoff()
            .reflect(writer)
            .touched_objects();
        let known = Arc::new(AtomicBool::new(false));
        let begun = known.clone();
        tokio::spawn(stream.for_each(move |touched| {
            let wake = wake.clone();
            // At first every pair is reconciled anyway, and nobody hears yet.
            let begun = begun.load(Ordering::Relaxed);
            async move {
                match touched {
                    Ok(_) if !begun => {}
                    Ok(one) => {
                        let pair = ObjectRef::new(one.pair());
                        let pair = pair.within(&one.namespace().unwrap_or_default());
                        let _ = wake.send(pair).await;
                    }
                    Err(error) => tracing::warn!(%error, "the requests can't be watched"),
                }
            }
        }));
        if store.wait_until_ready().await.is_ok() {
            let _ = self.store.set(store);
            known.store(true, Ordering::Relaxed);
        }
    }
}

/// Something about a request could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {kind} {name} of pair {pair}: {source}")]
pub struct Error {
    kind: String,
    name: String,
    pair: PairName,
    #[source]
    source: Box<kube::Error>,
}

impl Error {
    /// Whether somebody else wrote the request in between: look again at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        cluster::is_conflict(&self.source)
    }
}

/// Writes all that was decided about the requests of a pair.
///
/// # Errors
/// When the API server refuses.
pub async fn write(
    ctx: &Context,
    name: &PairName,
    owner: &PairRef,
    writes: &RequestWrites,
) -> Result<(), Error> {
    for one in &writes.promotions {
        write_one(ctx, &ctx.promotions, (name, owner), one).await?;
    }
    for one in &writes.resyncs {
        write_one(ctx, &ctx.resyncs, (name, owner), one).await?;
    }
    Ok(())
}

async fn write_one<K: Request, S: Serialize>(
    ctx: &Context,
    known: &Requests<K>,
    (name, owner): (&PairName, &PairRef),
    write: &Write<S>,
) -> Result<(), Error> {
    let api: Api<K> = Api::namespaced(ctx.client.clone(), name.namespace());
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    let outcome = match &write.what {
        What::Delete => {
            let this = Preconditions {
                uid: Some(write.uid.clone()),
                resource_version: None,
            };
            let params = DeleteParams::default().preconditions(this);
            api.delete(&write.name, &params).await.map(|_| None)
        }
        What::Own => {
            let labels = json!({names::PAIR_LABEL: name.name()});
            let meta = json!({"ownerReferences": [owner.owner], "labels": labels});
            let patch = Patch::Apply(applied::<K, S>(write, meta, None));
            api.patch(&write.name, &params, &patch).await.map(Some)
        }
        What::Status(status) => {
            let patch = Patch::Apply(applied::<K, S>(write, json!({}), Some(status)));
            api.patch_status(&write.name, &params, &patch)
                .await
                .map(Some)
        }
    };
    match outcome {
        Ok(Some(new)) => known.wrote(write.version.clone(), new),
        // One that was deleted meanwhile needs no answer.
        Ok(None) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => {
            return Err(Error {
                kind: K::kind(&()).into_owned(),
                name: write.name.clone(),
                pair: name.clone(),
                source: Box::new(source),
            });
        }
    }
    Ok(())
}

/// What is applied to the very object that was looked at, in the version that was looked at.
fn applied<K: Request, S: Serialize>(
    write: &Write<S>,
    mut meta: Value,
    status: Option<&S>,
) -> Value {
    meta["name"] = json!(write.name);
    meta["uid"] = json!(write.uid);
    meta["resourceVersion"] = json!(write.version);
    let mut patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": meta,
    });
    if let Some(status) = status {
        patch["status"] = json!(status);
    }
    patch
}
