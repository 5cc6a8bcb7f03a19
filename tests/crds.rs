//! The generated files are those that the code makes now; `make generate` writes them.

use ferry::api::crd::replication_pair_yaml;

const COPIES: [&str; 2] = [
    "crds/ferry.dev_replicationpairs.yaml",
    "charts/ferry/files/crds/ferry.dev_replicationpairs.yaml",
];

/// Above this, `kubectl apply` can't keep the manifest in its annotation (bytes).
const CLIENT_SIDE_APPLY_MAX: usize = 256 * 1024;

#[test]
fn the_crds_are_fresh() {
    let generated = replication_pair_yaml().unwrap();
    for path in COPIES {
        let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let kept = std::fs::read_to_string(&full).unwrap_or_default();
        assert!(
            kept == generated,
            "{path} is not what the code makes; run `make generate`"
        );
    }
    assert!(generated.len() < CLIENT_SIDE_APPLY_MAX);
}

#[test]
fn every_field_is_explained() {
    let crd: serde_yaml::Value = serde_yaml::from_str(&replication_pair_yaml().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut silent = Vec::new();
    for part in ["spec", "status"] {
        look(&schema[part], part, &mut silent);
    }
    assert!(
        silent.is_empty(),
        "fields without a description: {silent:?}"
    );
}

fn look(schema: &serde_yaml::Value, path: &str, silent: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        silent.push(path.into());
    }
    let Some(fields) = schema["properties"].as_mapping() else {
        if schema["items"]["properties"].is_mapping() {
            look(&schema["items"], path, silent);
        }
        return;
    };
    for (name, field) in fields {
        look(
            field,
            &format!("{path}.{}", name.as_str().unwrap_or_default()),
            silent,
        );
    }
}
