//! `ferry operator`: its command line.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::run;
use crate::run::RunError;
use planner::render::{MoverSettings, MoverTemplate};
use planner::validate::quantity_bytes;
use protocol::units::SiteName;

/// Reconciles replication pairs: takes snapshots, runs movers, moves roles.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Names of the sites that this cluster holds, such as `east,west`.
    #[arg(long, env = "FERRY_SITES", value_delimiter = ',', required = true)]
    pub sites: Vec<SiteName>,

    /// Namespace of the operator: its lease and the install's certificate authority live there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "ferry-system")]
    pub namespace: String,

    /// Name of this instance, for the lease and in Events; the host's name when left out.
    #[arg(long, env = "POD_NAME")]
    pub instance: Option<String>,

    /// The operator's own ServiceAccount; tokens for SnapshotMetadata are requested in its name.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "ferry")]
    pub service_account: String,

    /// Image of the mover's pods: the operator's own.
    #[arg(long, env = "FERRY_IMAGE")]
    pub image: String,

    /// When movers' images are pulled: `Always`, `IfNotPresent` or `Never`.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,

    /// A Secret for pulling the movers' image; may be given more than once.
    #[arg(long)]
    pub image_pull_secret: Vec<String>,

    /// Memory budget of one mover, such as `256Mi`; its pod's limit is 128Mi higher.
    #[arg(long, default_value = "256Mi", value_parser = bytes)]
    pub mover_memory: u64,

    /// CPU that a mover requests.
    #[arg(long, default_value = "50m")]
    pub mover_cpu: String,

    /// Priority class of the movers' pods.
    #[arg(long)]
    pub mover_priority_class: Option<String>,

    /// A node label that movers' nodes must have, `key=value`; may be given more than once.
    #[arg(long, value_parser = key_value)]
    pub mover_node_selector: Vec<(String, String)>,

    /// What else is set on the movers' pods, as JSON: labels, annotations, tolerations, affinity,
    /// topologySpreadConstraints, resources, runtimeClassName, podSecurityContext, securityContext.
    #[arg(long, value_parser = template, default_value = "{}", value_name = "JSON")]
    pub mover_template: MoverTemplate,

    /// Log filter of the movers.
    #[arg(long, env = "FERRY_MOVER_LOG", default_value = "info")]
    pub mover_log: String,

    /// Address of probes and metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// The most pairs whose movers are at work at once, two pods each; beyond it cycles begin later.
    #[arg(long, default_value_t = 64)]
    pub active_pairs_max: usize,

    /// The most pairs that are reconciled in the same moment; beyond it they wait for a free slot.
    #[arg(long, default_value_t = 16)]
    pub concurrency: u16,
}

impl Args {
    /// How movers are run.
    #[must_use]
    pub fn movers(&self) -> MoverSettings {
        MoverSettings {
            image: self.image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            image_pull_secrets: self.image_pull_secret.clone(),
            memory_bytes: self.mover_memory,
            cpu_request: self.mover_cpu.clone(),
            priority_class: self.mover_priority_class.clone(),
            node_selector: self.mover_node_selector.iter().cloned().collect(),
            log: self.mover_log.clone(),
            template: self.mover_template.clone(),
        }
    }

    /// The sites of this install.
    #[must_use]
    pub fn site_names(&self) -> BTreeSet<String> {
        self.sites.iter().map(ToString::to_string).collect()
    }

    /// The name of this instance.
    #[must_use]
    pub fn instance_name(&self) -> String {
        let host = || {
            std::env::var("HOSTNAME").unwrap_or_else(|_| format!("ferry-{}", std::process::id()))
        };
        self.instance.clone().unwrap_or_else(host)
    }
}

/// Runs until it is stopped or loses its lease.
///
/// # Errors
/// When it can't start, or has lost its lease.
pub fn run(args: Args) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(run::run(args))
}

fn bytes(text: &str) -> Result<u64, String> {
    let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.into());
    quantity_bytes(&quantity)
        .filter(|bytes| *bytes >= 16 << 20)
        .ok_or_else(|| format!("{text:?} is not an amount of at least 16Mi"))
}

fn template(text: &str) -> Result<MoverTemplate, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not key=value"))?;
    Ok((key.into(), value.into()))
}
