//! `kubectl ferry events`: what was said about a pair and about the objects that it owns.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anstream::println;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use kube::core::{NamespaceResourceScope, Resource};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;

use super::connect::{Pairs, Target, answer};
use super::format;
use api::names::PAIR_LABEL;
use api::snapshots::VolumeSnapshot;

/// What `events` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// Show warnings only.
    #[arg(long)]
    warnings: bool,
}

/// An object that events are about, as kind and name.
type Subject = (String, String);

/// Prints the events, oldest first.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let pair = pairs.get(&args.pair).await?;
    let subjects = subjects(&pairs, &args.pair, &pair.spec.claim_name).await;
    let all = list::<Event>(pairs.client(), pairs.namespace(), &ListParams::default()).await?;
    let about = about(all, &subjects, args.warnings);
    if about.is_empty() {
        anstream::eprintln!("No events about {} are kept.", args.pair);
    }
    for event in about {
        println!("{}", line(&event, Timestamp::now()));
    }
    Ok(())
}

/// The pair, its application's claim, and the objects with the pair's label. Kinds that may not be
/// listed are left out: events about the pair itself matter most.
async fn subjects(pairs: &Pairs, pair: &str, claim: &str) -> BTreeSet<Subject> {
    let (client, namespace) = (pairs.client(), pairs.namespace());
    let mut subjects = BTreeSet::from([
        ("ReplicationPair".to_string(), pair.to_string()),
        ("PersistentVolumeClaim".to_string(), claim.to_string()),
    ]);
    subjects.extend(labelled::<Pod>(client, namespace, pair).await);
    subjects.extend(labelled::<PersistentVolumeClaim>(client, namespace, pair).await);
    subjects.extend(labelled::<VolumeSnapshot>(client, namespace, pair).await);
    subjects
}

async fn labelled<K>(client: &Client, namespace: &str, pair: &str) -> Vec<Subject>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let params = ListParams::default().labels(&format!("{PAIR_LABEL}={pair}"));
    let found = list::<K>(client, namespace, &params)
        .await
        .unwrap_or_default();
    found
        .iter()
        .map(|object| (K::kind(&()).into_owned(), object.name_any()))
        .collect()
}

async fn list<K>(client: &Client, namespace: &str, params: &ListParams) -> anyhow::Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    Ok(answer(api.list(params)).await?.items)
}

/// The events about `subjects`, oldest first.
fn about(events: Vec<Event>, subjects: &BTreeSet<Subject>, warnings: bool) -> Vec<Event> {
    let of = |event: &Event| {
        let object = &event.involved_object;
        (
            object.kind.clone().unwrap_or_default(),
            object.name.clone().unwrap_or_default(),
        )
    };
    let mut about: Vec<Event> = events
        .into_iter()
        .filter(|event| subjects.contains(&of(event)))
        .filter(|event| !warnings || event.type_.as_deref() == Some("Warning"))
        .collect();
    about.sort_by_key(last_seen);
    about
}

/// When an event happened last; its writers fill in different fields.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    series
        .or(event.event_time.as_ref())
        .map(|time| time.0)
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.creation_timestamp().map(|time| time.0))
}

fn line(event: &Event, now: Timestamp) -> String {
    let seen =
        last_seen(event).map_or_else(|| format::NONE.into(), |at| format::age(&Time(at), now));
    let object = &event.involved_object;
    let series = event.series.as_ref().and_then(|series| series.count);
    let times = match series.or(event.count) {
        Some(count) if count > 1 => format!(" (x{count})"),
        _ => String::new(),
    };
    format!(
        "{seen:<8} {:<8} {:<24} {}/{}: {}{times}",
        event.type_.as_deref().unwrap_or(format::NONE),
        event.reason.as_deref().unwrap_or(format::NONE),
        object.kind.as_deref().unwrap_or_default().to_lowercase(),
        object.name.as_deref().unwrap_or_default(),
        event.message.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;
    use crate::sample;

    fn event(kind: &str, name: &str, type_: &str, ago: i64) -> Event {
        Event {
            involved_object: ObjectReference {
                kind: Some(kind.into()),
                name: Some(name.into()),
                ..ObjectReference::default()
            },
            type_: Some(type_.into()),
            reason: Some("CycleCommitted".into()),
            message: Some("1.7 is committed".into()),
            last_timestamp: Some(sample::ago(ago)),
            ..Event::default()
        }
    }

    #[test]
    fn only_what_concerns_the_pair_is_shown_oldest_first() {
        let subjects = BTreeSet::from([
            ("ReplicationPair".to_string(), "orders".to_string()),
            ("Pod".to_string(), "orders-east-mover".to_string()),
        ]);
        let all = vec![
            event("ReplicationPair", "orders", "Normal", 5),
            event("Pod", "orders-east-mover", "Warning", 60),
            event("Pod", "web-0", "Warning", 1),
        ];
        let lines: Vec<String> = about(all.clone(), &subjects, false)
            .iter()
            .map(|event| line(event, sample::now()))
            .collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("60s      Warning"), "{}", lines[0]);
        assert!(
            lines[1].contains("replicationpair/orders: 1.7 is committed"),
            "{}",
            lines[1]
        );
        assert_eq!(about(all, &subjects, true).len(), 1);
    }
}
