//! *I install with one command. I want to see that it works, and to be able to read what I have.*
//!
//! `helm test` passes, `kubectl explain` describes every field in a sentence, the pairs are listed
//! under their short name, and the operator has no right by wildcard.

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use serde_json::Value;

use super::Story;
use crate::harness::Scene;
use crate::harness::install::RELEASE;
use crate::harness::lab::OPERATOR_NAMESPACE;

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "installed",
        proves: &[],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    let said = scene
        .lab
        .helm(&["test", RELEASE, "--namespace", OPERATOR_NAMESPACE])
        .await?;
    ensure!(said.contains("Succeeded"), "helm test says only {said}");
    no_wildcard(scene).await?;
    let schema = served_schema(scene).await?;
    let spec = &schema["properties"]["spec"];
    ensure!(spec["properties"].is_object(), "the schema has no spec");
    described("spec", spec)?;
    let listed = scene.lab.kubectl(&["get", "rp", "-A"]).await?;
    ensure!(listed.ok, "kubectl get rp: {}", listed.all());
    let explained = scene
        .lab
        .kubectl(&["explain", "replicationpair.spec.snapshot"])
        .await?;
    ensure!(
        explained.ok && explained.stdout.contains("interval"),
        "kubectl explain: {}",
        explained.all()
    );
    Ok(())
}

async fn no_wildcard(scene: &Scene) -> Result<()> {
    let roles: Api<ClusterRole> = Api::all(scene.lab.client.clone());
    let role = roles.get("ferry-operator").await?;
    for rule in role.rules.unwrap_or_default() {
        let parts = [
            Some(rule.verbs.clone()),
            rule.resources.clone(),
            rule.api_groups.clone(),
        ];
        let wild = parts
            .into_iter()
            .flatten()
            .flatten()
            .any(|word| word == "*");
        ensure!(!wild, "a right by wildcard: {rule:?}");
    }
    Ok(())
}

async fn served_schema(scene: &Scene) -> Result<Value> {
    let api: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(scene.lab.client.clone());
    let crd = serde_json::to_value(api.get("replicationpairs.ferry.dev").await?)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema");
    schema.cloned().context("the CRD has no schema")
}

/// Every field says in words what it is.
fn described(path: &str, schema: &Value) -> Result<()> {
    let inner = |part: &str| schema[part].as_object().into_iter().flatten();
    for (name, field) in inner("properties") {
        let path = format!("{path}.{name}");
        let text = field["description"].as_str().unwrap_or_default();
        ensure!(text.len() > 10, "{path} is described as {text:?}");
        described(&path, field)?;
    }
    if schema["items"].is_object() {
        described(&format!("{path}[]"), &schema["items"])?;
    }
    Ok(())
}
