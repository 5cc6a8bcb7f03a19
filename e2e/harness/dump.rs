//! What is printed when a story fails: the pair, the events, the logs of movers and operator.

use ferry::api::ReplicationPair;
use ferry::api::names;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use super::operator;
use super::scene::Scene;

/// Lines of each log.
const LOG_LINES: i64 = 80;

/// All that helps to understand a failure, as text.
pub async fn dump(scene: &Scene) -> String {
    let mut text = String::new();
    let mut add = |title: &str, body: &str| {
        text.push_str(&format!("---- {title}\n{}\n", body.trim_end()));
    };
    let pairs: Api<ReplicationPair> = scene.api();
    for mut pair in pairs
        .list(&ListParams::default())
        .await
        .map(|l| l.items)
        .unwrap_or_default()
    {
        pair.metadata.managed_fields = None;
        let yaml = serde_yaml::to_string(&pair).unwrap_or_else(|e| e.to_string());
        add(&format!("pair {}", pair.name_any()), &yaml);
    }
    add("events", &events(scene).await);
    add("claims", &claims(scene).await);
    add("snapshots", &snapshots(scene).await);
    for (name, log) in pods(scene).await {
        add(&format!("pod {name}"), &log);
    }
    add("operator", &operator::logs(&scene.lab, LOG_LINES).await);
    text
}

/// The namespace's events, oldest first: reason, object, note.
pub async fn events(scene: &Scene) -> String {
    let api: Api<Event> = scene.api();
    let mut all = api
        .list(&ListParams::default())
        .await
        .map(|l| l.items)
        .unwrap_or_default();
    all.sort_by_key(|e| e.metadata.creation_timestamp.clone());
    let line = |e: &Event| {
        let object = e
            .regarding
            .as_ref()
            .and_then(|r| r.name.clone())
            .unwrap_or_default();
        let text = |o: &Option<String>| o.clone().unwrap_or_default();
        format!(
            "{} {} {object}: {}",
            text(&e.type_),
            text(&e.reason),
            text(&e.note)
        )
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn claims(scene: &Scene) -> String {
    let api: Api<PersistentVolumeClaim> = scene.api();
    let all = api
        .list(&ListParams::default())
        .await
        .map(|l| l.items)
        .unwrap_or_default();
    let line = |c: &PersistentVolumeClaim| {
        let spec = c.spec.clone().unwrap_or_default();
        format!(
            "{} {:?} volume {} mode {}{}",
            c.name_any(),
            c.status
                .as_ref()
                .and_then(|s| s.phase.clone())
                .unwrap_or_default(),
            spec.volume_name.unwrap_or_default(),
            spec.volume_mode.unwrap_or_default(),
            if c.metadata.deletion_timestamp.is_some() {
                " being deleted"
            } else {
                ""
            }
        )
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn snapshots(scene: &Scene) -> String {
    let all = scene
        .snapshots()
        .list(&ListParams::default())
        .await
        .map(|l| l.items);
    let line = |s: &kube::core::DynamicObject| {
        format!(
            "{} {}",
            s.name_any(),
            s.data.get("status").unwrap_or(&serde_json::Value::Null)
        )
    };
    all.unwrap_or_default()
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

async fn pods(scene: &Scene) -> Vec<(String, String)> {
    let api: Api<Pod> = scene.api();
    let mut found = Vec::new();
    for pod in api
        .list(&ListParams::default())
        .await
        .map(|l| l.items)
        .unwrap_or_default()
    {
        let name = pod.name_any();
        let phase = pod
            .status
            .as_ref()
            .and_then(|s| s.phase.clone())
            .unwrap_or_default();
        let ours = pod.labels().contains_key(names::PAIR_LABEL);
        let lines = if ours { LOG_LINES } else { 10 };
        let params = LogParams {
            tail_lines: Some(lines),
            ..LogParams::default()
        };
        let log = api
            .logs(&name, &params)
            .await
            .unwrap_or_else(|e| e.to_string());
        found.push((format!("{name} ({phase})"), log));
    }
    found
}
