//! Which cluster, as whom, in which namespace: the flags that every kubectl command has.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::api::ReplicationPair;

/// How long the API server may take to answer one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The flags by which kubectl finds a cluster.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Target {
    /// Namespace of the pair; the context's namespace when left out.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub(super) context: Option<String>,
    /// Path to the kubeconfig; $KUBECONFIG or ~/.kube/config when left out.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        hide_short_help = true
    )]
    pub(super) impersonate: Option<String>,
}

/// A connection to the pairs of one cluster.
#[derive(Clone)]
pub(super) struct Pairs {
    client: Client,
    namespace: String,
}

impl Target {
    /// Connects as kubectl would.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it names no such context.
    pub(super) async fn connect(&self) -> anyhow::Result<Pairs> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(Duration::from_secs(10));
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
        }
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client =
            Client::try_from(config).context("failed to set up the connection to the cluster")?;
        Ok(Pairs { client, namespace })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read the kubeconfig {}", path.display()))?,
            None => match Kubeconfig::read() {
                Ok(kubeconfig) => kubeconfig,
                Err(error) if self.context.is_some() => {
                    return Err(error).context("failed to read the kubeconfig");
                }
                // In a pod there is no kubeconfig, but there is an account.
                Err(error) => {
                    return Config::incluster().map_err(|_| {
                        anyhow!(error).context(
                            "failed to find a cluster: no kubeconfig can be read (set KUBECONFIG or \
                             use --kubeconfig), and this is no pod",
                        )
                    });
                }
            },
        };
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .context("failed to use the kubeconfig")
    }
}

impl Pairs {
    /// The client itself, for what is not a pair.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The namespace in use.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pairs of the namespace.
    pub(super) fn api(&self) -> Api<ReplicationPair> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pairs of all namespaces.
    pub(super) fn everywhere(&self) -> Api<ReplicationPair> {
        Api::all(self.client.clone())
    }

    /// One pair.
    ///
    /// # Errors
    /// When there is none of this name, or the cluster does not answer.
    pub(super) async fn get(&self, name: &str) -> anyhow::Result<ReplicationPair> {
        bounded(async {
            self.api()
                .get(name)
                .await
                .map_err(|error| self.explain(name, error))
        })
        .await
    }

    /// What to tell a person about an error met when asking for `name`.
    pub(super) fn explain(&self, name: &str, error: kube::Error) -> anyhow::Error {
        let what = match &error {
            kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound" => {
                return anyhow!(
                    "there is no pair {name} in namespace {} (kubectl ferry status -A lists all)",
                    self.namespace
                );
            }
            kube::Error::Api(status) if status.code == 404 => {
                "the cluster does not know ReplicationPairs: is Ferry installed there?".to_string()
            }
            kube::Error::Api(status) if status.code == 403 => {
                format!("you may not do this: {}", status.message)
            }
            _ => format!("failed to ask the cluster about {}/{name}", self.namespace),
        };
        anyhow!(error).context(what)
    }
}

/// The outcome of one request, which may take [`REQUEST_TIMEOUT`] and no longer.
///
/// # Errors
/// The request's own, or that there was no answer in time.
pub(super) async fn bounded<T>(
    request: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| {
            Err(anyhow!(
                "the cluster did not answer within {} s",
                REQUEST_TIMEOUT.as_secs()
            ))
        })
}
