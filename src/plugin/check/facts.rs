//! What `kubectl ferry check` reads. Whatever can't be read, because nobody answers or it is not
//! allowed, is a fact of its own and never the end.

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, PersistentVolume, PersistentVolumeClaim, ResourceQuota,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, PostParams};
use kube::core::{NamespaceResourceScope, Resource};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;

use crate::connect::answer;
use crate::operators::{self, Operator};
use api::ReplicationPair;
use api::snapshots::VolumeSnapshotClass;
use planner::observe::Classes;

/// What is known, or why it is not.
pub(super) type Known<T> = Result<T, String>;

/// A right that a person needs, and whether this one has it.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) allowed: Known<bool>,
}

/// The claim that a pair replicates.
#[derive(Debug)]
pub(super) struct ClaimFact {
    pub(super) name: String,
    /// The CSI driver of its volume; `None` while it is not bound, or of no CSI driver.
    pub(super) driver: Option<String>,
    pub(super) bound: bool,
    pub(super) class: Option<String>,
    pub(super) block: bool,
}

/// All facts.
pub(super) struct Facts {
    pub(super) namespace: String,
    pub(super) pair: Option<ReplicationPair>,
    /// Kubernetes' major and minor version.
    pub(super) version: Known<(u32, u32)>,
    /// The versions of `ferry.dev` that are served.
    pub(super) crd: Known<Vec<String>>,
    pub(super) operators: Known<Vec<Operator>>,
    pub(super) classes: Known<Classes>,
    /// Names of all storage classes' provisioners.
    pub(super) drivers: Vec<String>,
    /// `None` inside where the pair names none, or there is no pair.
    pub(super) claim: Known<Option<ClaimFact>>,
    /// The PodSecurity level that the namespace enforces.
    pub(super) pod_security: Known<Option<String>>,
    pub(super) quotas: Known<Vec<ResourceQuota>>,
    pub(super) limits: Known<Vec<LimitRange>>,
    pub(super) rights: Vec<Right>,
    /// Seconds by which this machine's clock is ahead of the API server's.
    pub(super) clock_seconds: Known<i64>,
}

impl Facts {
    /// Reads them all.
    pub(super) async fn fetch(
        client: &Client,
        namespace: &str,
        pair: Option<ReplicationPair>,
    ) -> Facts {
        let storage = list::<StorageClass>(Api::all(client.clone())).await;
        let snapshots = known(Api::<VolumeSnapshotClass>::all(client.clone()).list(&all())).await;
        let drivers = storage
            .iter()
            .flatten()
            .map(|class| class.provisioner.clone())
            .collect();
        let classes = storage
            .map(|storage| Classes::of(storage, snapshots.ok().map(|classes| classes.items)));
        Facts {
            namespace: namespace.into(),
            version: version(client).await,
            crd: served(client).await,
            operators: operators::find(client)
                .await
                .map_err(|error| error.to_string()),
            classes,
            drivers,
            claim: claim(client, namespace, pair.as_ref()).await,
            pod_security: pod_security(client, namespace).await,
            quotas: list(Api::namespaced(client.clone(), namespace)).await,
            limits: list(Api::namespaced(client.clone(), namespace)).await,
            rights: rights(client, namespace).await,
            clock_seconds: clock(client).await,
            pair,
        }
    }
}

fn all() -> ListParams {
    ListParams::default()
}

/// An answer of the API server, or its refusal in its own words.
async fn known<T>(request: impl Future<Output = kube::Result<T>>) -> Known<T> {
    answer(request).await.map_err(|error| error.to_string())
}

async fn list<K>(api: Api<K>) -> Known<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    Ok(known(api.list(&all())).await?.items)
}

async fn one<K>(client: &Client, namespace: &str, name: &str) -> Known<Option<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    known(Api::<K>::namespaced(client.clone(), namespace).get_opt(name)).await
}

async fn version(client: &Client) -> Known<(u32, u32)> {
    let info = known(client.apiserver_version()).await?;
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse::<u32>()
            .map_err(|_| format!("the server names its version {text:?}"))
    };
    Ok((number(&info.major)?, number(&info.minor)?))
}

async fn served(client: &Client) -> Known<Vec<String>> {
    let groups = known(client.list_api_groups()).await?;
    let ours = groups
        .groups
        .into_iter()
        .find(|group| group.name == "ferry.dev");
    let versions = ours.map(|group| group.versions).unwrap_or_default();
    Ok(versions
        .into_iter()
        .map(|version| version.version)
        .collect())
}

async fn claim(
    client: &Client,
    namespace: &str,
    pair: Option<&ReplicationPair>,
) -> Known<Option<ClaimFact>> {
    let Some(pair) = pair else { return Ok(None) };
    let name = pair.spec.claim_name.clone();
    let found = one::<PersistentVolumeClaim>(client, namespace, &name).await?;
    let claim =
        found.ok_or_else(|| format!("there is no claim {name} in namespace {namespace}"))?;
    let spec = claim.spec.unwrap_or_default();
    let driver = match &spec.volume_name {
        Some(volume) => {
            let api = Api::<PersistentVolume>::all(client.clone());
            let volume = known(api.get(volume)).await?;
            volume.spec.and_then(|spec| Some(spec.csi?.driver))
        }
        None => None,
    };
    Ok(Some(ClaimFact {
        name,
        driver,
        bound: spec.volume_name.is_some(),
        class: spec.storage_class_name,
        block: spec.volume_mode.as_deref() == Some("Block"),
    }))
}

async fn pod_security(client: &Client, namespace: &str) -> Known<Option<String>> {
    let found = known(Api::<Namespace>::all(client.clone()).get_opt(namespace)).await?;
    let space = found.ok_or_else(|| format!("there is no namespace {namespace}"))?;
    Ok(space
        .labels()
        .get("pod-security.kubernetes.io/enforce")
        .cloned())
}

async fn rights(client: &Client, namespace: &str) -> Vec<Right> {
    let mut rights = Vec::new();
    for (verb, resource) in wanted_rights() {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some("ferry.dev".into()),
                    namespace: Some(namespace.into()),
                    resource: Some(resource.into()),
                    verb: Some(verb.into()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api = Api::<SelfSubjectAccessReview>::all(client.clone());
        let answer = known(api.create(&PostParams::default(), &review)).await;
        let allowed = answer.map(|review| review.status.is_some_and(|status| status.allowed));
        rights.push(Right {
            verb,
            resource,
            allowed,
        });
    }
    rights
}

/// What a person does with a pair.
fn wanted_rights() -> [(&'static str, &'static str); 4] {
    [
        ("create", "replicationpairs"),
        ("patch", "replicationpairs"),
        ("create", "promotions"),
        ("create", "resyncs"),
    ]
}

/// By how much this machine's clock differs from the API server's, from the `Date` of an answer.
async fn clock(client: &Client) -> Known<i64> {
    let request = http::Request::get("/version")
        .body(kube::client::Body::empty())
        .map_err(|error| error.to_string())?;
    let answer = known(client.send(request)).await?;
    let now = Timestamp::now();
    let date = answer.headers().get(http::header::DATE);
    let date = date
        .and_then(|date| date.to_str().ok())
        .ok_or("the API server names no date")?;
    let date = jiff::fmt::rfc2822::parse(date).map_err(|error| error.to_string())?;
    Ok(now.as_second() - date.timestamp().as_second())
}
