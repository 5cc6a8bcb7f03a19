//! Where volumes are attached, and which ones nodes have in use.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use api::ReplicationPair;
use planner::observe::{Attachment, needs_attachments};

/// How many nodes are read at a time.
const PAGE: u32 = 500;

/// All that is attached or in use; `None` while that is of no interest.
///
/// # Errors
/// When the API server refuses.
pub async fn attachments(
    client: &Client,
    pair: &ReplicationPair,
) -> Result<Option<Vec<Attachment>>, kube::Error> {
    if !needs_attachments(pair) {
        return Ok(None);
    }
    let api: Api<VolumeAttachment> = Api::all(client.clone());
    let attached = api.list(&ListParams::default()).await?.items;
    let attached = attached.into_iter().filter_map(|attachment| {
        Some(Attachment {
            volume: attachment.spec.source.persistent_volume_name?,
            node: attachment.spec.node_name,
        })
    });
    let mut found: Vec<Attachment> = attached.collect();
    found.extend(in_use(client).await?);
    Ok(Some(found))
}

/// What nodes say that they use. A node that is out of reach says what it did.
async fn in_use(client: &Client) -> Result<Vec<Attachment>, kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        for node in &page.items {
            let status = node.status.as_ref();
            let used = status.and_then(|status| status.volumes_in_use.as_ref());
            found.extend(used.into_iter().flatten().map(|volume| Attachment {
                volume: volume.clone(),
                node: node.name_any(),
            }));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}
