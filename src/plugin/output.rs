//! `-o json|yaml|name`: the objects as the API server has them, unread and unmodified.

use anyhow::Context;
use clap::ValueEnum;
use kube::Client;
use serde_json::Value;

use super::connect::bounded;

/// How pairs are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// The table with more columns.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// `replicationpair.ferry.dev/NAME`, a line each.
    Name,
}

/// What `kubectl` calls a pair in its messages.
pub(super) fn reference(name: &str) -> String {
    format!("replicationpair.ferry.dev/{name}")
}

/// The pair `name`, or the list of all pairs, as the API server sends it. `None` for the namespace
/// means all of them.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub(super) async fn fetch(
    client: &Client,
    namespace: Option<&str>,
    name: Option<&str>,
) -> anyhow::Result<Value> {
    let mut path = String::from("/apis/ferry.dev/v1alpha1");
    if let Some(namespace) = namespace {
        path.push_str(&format!("/namespaces/{namespace}"));
    }
    path.push_str("/replicationpairs");
    if let Some(name) = name {
        path.push_str(&format!("/{name}"));
    }
    let request = http::Request::get(&path)
        .body(Vec::new())
        .with_context(|| format!("failed to ask for {path}: is that a valid name?"))?;
    bounded(async { Ok(client.request::<Value>(request).await?) }).await
}

/// The objects as text that ends in a newline; `wide` is no such text and prints as JSON.
///
/// # Errors
/// When they can't be written as YAML, which JSON always can.
pub(super) fn text(objects: &Value, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Yaml => crate::api::yaml::to_string(objects)?,
        Output::Name => names(objects),
        Output::Json | Output::Wide => serde_json::to_string_pretty(objects)? + "\n",
    })
}

fn names(objects: &Value) -> String {
    let one = std::slice::from_ref(objects);
    let items = objects["items"].as_array().map_or(one, Vec::as_slice);
    items
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .map(|name| reference(name) + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_kept_and_names_are_kubectls() {
        let one = json!({"metadata": {"name": "orders"}, "spec": {"fromTheFuture": 1}});
        assert!(
            text(&one, Output::Json)
                .unwrap()
                .contains("\"fromTheFuture\": 1")
        );
        assert!(
            text(&one, Output::Yaml)
                .unwrap()
                .contains("fromTheFuture: 1")
        );
        assert_eq!(
            text(&one, Output::Name).unwrap(),
            "replicationpair.ferry.dev/orders\n"
        );
        let list = json!({"items": [one, {"metadata": {"name": "b"}}]});
        assert_eq!(text(&list, Output::Name).unwrap().lines().count(), 2);
    }
}
