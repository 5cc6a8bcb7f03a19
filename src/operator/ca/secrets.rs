//! Where certificates are stored: Secrets, created once, applied only when they have to change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use crate::ca::{Authority, CaError, LeafPem};
use api::names;
use protocol::units::{PairName, PeerName, SiteName};
use transport::TlsDir;

/// The Secret in the operator's namespace that holds the install's authority.
pub const CA_SECRET: &str = "ferry-ca";

/// How often [`load_or_create`] tries again when others write at the same time.
const RACES_MAX: usize = 8;

const TYPE: &str = "kubernetes.io/tls";

/// The install's authority: read from [`CA_SECRET`] in `namespace`, made when it is not there. Two
/// operators that start at once end up with the same one: the slower reads what the faster created.
/// Call it again every hour or so: it also brings about the authority's own rotation.
///
/// # Errors
/// When the API server refuses, or the Secret holds no usable authority.
pub async fn load_or_create(
    client: &Client,
    namespace: &str,
    now: Timestamp,
) -> Result<Authority, CaError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let id = format!("{namespace}/{CA_SECRET}");
    let failed = |action| {
        let secret = id.clone();
        move |source: kube::Error| CaError::Api {
            action,
            secret,
            source: Box::new(source),
        }
    };
    for _ in 0..RACES_MAX {
        let Some(secret) = api.get_opt(CA_SECRET).await.map_err(failed("read"))? else {
            let authority = Authority::create(now)?;
            match api
                .create(&PostParams::default(), &ca_secret(&authority))
                .await
            {
                Ok(_) => return Ok(authority),
                Err(kube::Error::Api(e)) if e.is_already_exists() => continue,
                Err(e) => return Err(failed("create")(e)),
            }
        };
        let data = secret.data.clone().unwrap_or_default();
        let authority = Authority::from_data(&data).map_err(|reason| CaError::Unusable {
            secret: id.clone(),
            reason,
        })?;
        let Some(rotated) = authority.rotated(now)? else {
            return Ok(authority);
        };
        // The resource version makes a second rotation at the same time fail and read again.
        let replaced = Secret {
            data: Some(rotated.to_data()),
            ..secret
        };
        match api
            .replace(CA_SECRET, &PostParams::default(), &replaced)
            .await
        {
            Ok(_) | Err(kube::Error::Api(_)) => {}
            Err(e) => return Err(failed("replace")(e)),
        }
    }
    Err(CaError::Unusable {
        secret: id,
        reason: format!("it changed {RACES_MAX} times while it was read"),
    })
}

fn ca_secret(authority: &Authority) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(CA_SECRET.into()),
            labels: Some(BTreeMap::from([(
                names::MANAGED_BY_LABEL.into(),
                names::MANAGED_BY.into(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".into()),
        data: Some(authority.to_data()),
        ..Secret::default()
    }
}

/// Makes sure that the mover of `pair` at `site` has a certificate Secret (`names::mover`) in the
/// pair's namespace that is of this authority, with its present trust bundle, and in the first half
/// of its life. Writes only when something has to change.
///
/// # Errors
/// When the API server refuses, a certificate can't be made, or the name is somebody else's.
pub async fn ensure_mover_secret(
    client: &Client,
    authority: &Authority,
    pair: &PairName,
    site: &SiteName,
    owner: OwnerReference,
    now: Timestamp,
) -> Result<Secret, CaError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), pair.namespace());
    let name = names::mover(pair.name(), site.as_str());
    let id = format!("{}/{name}", pair.namespace());
    let failed = |action| {
        let secret = id.clone();
        move |source: kube::Error| CaError::Api {
            action,
            secret,
            source: Box::new(source),
        }
    };
    let peer = PeerName::Mover {
        site: site.clone(),
        pair: pair.clone(),
    };
    if let Some(secret) = api.get_opt(&name).await.map_err(failed("read"))? {
        if !is_ours(&secret, &owner.uid) {
            return Err(CaError::NameTaken { secret: id });
        }
        let current = leaf_of(&secret).is_some_and(|leaf| authority.is_current(&leaf, &peer, now));
        if current {
            return Ok(secret);
        }
    }
    let leaf = authority.issue(&peer, now)?;
    let secret = mover_secret(&name, pair, site, owner, leaf);
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&secret))
        .await
        .map_err(failed("apply"))
}

fn mover_secret(
    name: &str,
    pair: &PairName,
    site: &SiteName,
    owner: OwnerReference,
    leaf: LeafPem,
) -> Secret {
    let label = |key: &str, value: &str| (key.to_string(), value.to_string());
    let uid = owner.uid.clone();
    let bytes = |name: &str, text: String| (name.to_string(), ByteString(text.into_bytes()));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(pair.namespace().into()),
            labels: Some(BTreeMap::from([
                label(names::MANAGED_BY_LABEL, names::MANAGED_BY),
                label(names::PAIR_LABEL, pair.name()),
                label(names::PAIR_UID_LABEL, &uid),
                label(names::SITE_LABEL, site.as_str()),
                label(names::PART_LABEL, "mover"),
            ])),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.into()),
        data: Some(BTreeMap::from([
            bytes("ca.crt", leaf.ca),
            bytes("tls.crt", leaf.certificate),
            bytes("tls.key", leaf.key),
        ])),
        ..Secret::default()
    }
}

fn is_ours(secret: &Secret, uid: &str) -> bool {
    let label = |key| {
        secret
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
    };
    label(names::MANAGED_BY_LABEL).is_some_and(|v| v == names::MANAGED_BY)
        && label(names::PAIR_UID_LABEL).is_some_and(|v| v == uid)
}

fn leaf_of(secret: &Secret) -> Option<LeafPem> {
    let data = secret.data.as_ref()?;
    let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
    Some(LeafPem {
        ca: text("ca.crt")?,
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
    })
}

/// The operator's own identity `ferry://operator`, kept in memory only, for `MoverLinks`. Make a new
/// one whenever the authority was loaded again, and hand it to `MoverLinks::set_identity`.
///
/// # Errors
/// When a certificate can't be made.
pub fn operator_identity(authority: &Authority, now: Timestamp) -> Result<TlsDir, CaError> {
    let leaf = authority.issue(&PeerName::Operator, now)?;
    Ok(TlsDir::in_memory(leaf.ca, leaf.certificate, leaf.key))
}
