//! `-o json|yaml|name`: the objects as the API server has them; unknown fields stay.

use anyhow::Context;
use clap::ValueEnum;
use kube::Resource;
use kube::api::{GetParams, Request};
use serde_json::Value;

use super::connect::{Pairs, bounded};
use super::selection::Selection;
use api::ReplicationPair;

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

/// Which objects are fetched.
pub(super) enum Wanted<'a> {
    /// The pair of this name.
    Pair(&'a str),
    /// The list of these.
    List(&'a Selection),
}

/// Pairs as the API server sends them.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub(super) async fn fetch(pairs: &Pairs, wanted: &Wanted<'_>) -> anyhow::Result<Value> {
    let at = |namespace| Request::new(ReplicationPair::url_path(&(), namespace));
    let (name, request) = match wanted {
        Wanted::Pair(name) => {
            let at = at(Some(pairs.namespace()));
            (*name, at.get(name, &GetParams::default()))
        }
        Wanted::List(selection) => {
            let namespace = (!selection.all_namespaces).then(|| pairs.namespace());
            ("", at(namespace).list(&selection.params()))
        }
    };
    let request = request.context("failed to build the request: is that a valid name?")?;
    bounded(async {
        let answer = pairs.client().request::<Value>(request).await;
        answer.map_err(|error| pairs.explain(name, &error))
    })
    .await
}

/// The objects without `metadata.managedFields`, which is half of the text and nobody's answer.
pub(super) fn without_managers(mut objects: Value) -> Value {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    };
    match objects.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(strip),
        None => strip(&mut objects),
    }
    objects
}

/// The objects as text that ends in a newline; `wide` is no such text and prints as JSON.
///
/// # Errors
/// When they can't be written as YAML, which JSON always can.
pub(super) fn text(objects: &Value, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Yaml => api::yaml::to_string(objects)?,
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
        let managed = json!({"metadata": {"name": "orders", "managedFields": [1]}});
        let list = json!({"items": [managed]});
        let (managed, list) = (without_managers(managed), without_managers(list));
        assert_eq!(managed, json!({"metadata": {"name": "orders"}}));
        assert_eq!(list["items"][0], managed);
        let list = json!({"items": [one, {"metadata": {"name": "b"}}]});
        assert_eq!(text(&list, Output::Name).unwrap().lines().count(), 2);
    }
}
