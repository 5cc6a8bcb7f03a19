//! The generated files are those that the code makes now; `make generate` writes them.

use api::{crd, yaml};

/// Where the files are checked in.
const COPIES: [&str; 2] = ["crds", "charts/ferry/files/crds"];

/// Above this, `kubectl apply` can't keep the manifest in its annotation (bytes).
const CLIENT_SIDE_APPLY_MAX: usize = 256 * 1024;

#[test]
fn the_crds_are_fresh() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, crd) in crd::all() {
        let generated = yaml::to_string(&crd).unwrap();
        for folder in COPIES {
            let path = root.join(folder).join(&file);
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                kept == generated,
                "{folder}/{file} is not what the code makes; run `make generate`"
            );
        }
        assert!(generated.len() < CLIENT_SIDE_APPLY_MAX);
    }
    for folder in COPIES {
        let count = std::fs::read_dir(root.join(folder)).unwrap().count();
        assert_eq!(
            count,
            crd::all().len(),
            "{folder} has files that nothing makes"
        );
    }
}

#[test]
fn every_field_is_explained() {
    let mut silent = Vec::new();
    for (_, crd) in crd::all() {
        let kind = crd.spec.names.kind.clone();
        let crd = serde_yaml::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            look(&schema[part], &format!("{kind}.{part}"), &mut silent);
        }
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
