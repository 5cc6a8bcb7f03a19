//! Where a driver's service is.

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use crate::changed_blocks::{MetadataError, Trust};

const GROUP: &str = "cbt.storage.k8s.io";
const KIND: &str = "SnapshotMetadataService";
const PLURAL: &str = "snapshotmetadataservices";
/// Newest first: the object is the same in both.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

/// A driver's service, as its `SnapshotMetadataService` object says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Service {
    /// The driver.
    pub(super) driver: String,
    /// `host:port`.
    pub(super) address: String,
    /// The audience that tokens must have.
    pub(super) audience: String,
    /// The only authorities that its certificate may be of, PEM.
    pub(super) ca_pem: String,
}

/// Looks up the service of `driver`.
pub(super) async fn find(client: &Client, driver: &str) -> Result<Service, MetadataError> {
    for version in VERSIONS {
        let kind = GroupVersionKind::gvk(GROUP, version, KIND);
        let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        // A version that is not served and an object that is not there are both 404. The first is
        // answered without a `Status`, so that only the code tells.
        match api.get(driver).await {
            Ok(object) => return read(driver, &object.data),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(e) => {
                return Err(MetadataError::new(
                    Trust::Later,
                    format!("SnapshotMetadataService {driver} can't be read: {e}"),
                ));
            }
        }
    }
    Err(MetadataError::new(
        Trust::None,
        format!("driver {driver} has no SnapshotMetadataService"),
    ))
}

fn read(driver: &str, object: &Value) -> Result<Service, MetadataError> {
    let unusable = |what: &str| {
        let because = format!("SnapshotMetadataService {driver} {what}");
        MetadataError::new(Trust::None, because)
    };
    let text = |field: &str| {
        object
            .pointer(&format!("/spec/{field}"))
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| unusable(&format!("has no {field}")))
    };
    let ca: k8s_openapi::ByteString = serde_json::from_value(Value::from(text("caCert")?))
        .map_err(|_| unusable("has a caCert that is not base64"))?;
    Ok(Service {
        driver: driver.into(),
        address: text("address")?.into(),
        audience: text("audience")?.into(),
        ca_pem: String::from_utf8(ca.0).map_err(|_| unusable("has a caCert that is not PEM"))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_lacks_something_is_named() {
        let good = json!({"spec": {"address": "a:1", "audience": "b", "caCert": "LS0t"}});
        assert_eq!(read("d", &good).unwrap().ca_pem, "---");
        for field in ["address", "audience", "caCert"] {
            for value in [json!(""), json!(null), json!(7)] {
                let mut bad = good.clone();
                bad["spec"][field] = value;
                let error = read("d", &bad).unwrap_err();
                assert!(error.because.contains(field), "{error}");
                assert_eq!(error.trust, Trust::None);
            }
        }
        let mut bad = good;
        bad["spec"]["caCert"] = json!("%%");
        assert!(read("d", &bad).unwrap_err().because.contains("base64"));
    }
}
