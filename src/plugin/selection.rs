//! Which pairs a command means, by the flags that kubectl has for it.

use clap::Args;
use kube::api::ListParams;

use super::connect::{Pairs, bounded};
use api::ReplicationPair;

/// The pairs of one namespace or of all, less what the selectors leave out.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Selection {
    /// Mean the pairs of all namespaces.
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Mean the pairs with these labels, as in -l team=shop,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Mean the pairs with these fields, as in --field-selector metadata.name=orders.
    #[arg(long, value_name = "FIELDS")]
    field_selector: Option<String>,
}

impl Selection {
    /// What the API server is asked for.
    pub(super) fn params(&self) -> ListParams {
        ListParams {
            label_selector: self.selector.clone(),
            field_selector: self.field_selector.clone(),
            ..ListParams::default()
        }
    }

    /// The pairs meant.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub(super) async fn list(&self, pairs: &Pairs) -> anyhow::Result<Vec<ReplicationPair>> {
        let api = pairs.scope(self.all_namespaces);
        let list = bounded(async {
            api.list(&self.params())
                .await
                .map_err(|error| pairs.explain("", &error))
        })
        .await?;
        Ok(list.items)
    }
}
