//! Which cluster, as whom, in which namespace: the flags that every kubectl command has.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::api_error;
use super::format;
use api::ReplicationPair;

/// The longest that the API server may take to answer one request, unless a flag says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What `--request-timeout` said: one number for the whole process, as in kubectl.
static ANSWER_WITHIN: OnceLock<Duration> = OnceLock::new();

/// The flags by which kubectl finds a cluster, and who asks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
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
    /// Cluster of the kubeconfig, instead of the context's.
    #[arg(long, global = true, value_name = "CLUSTER", hide_short_help = true)]
    cluster: Option<String>,
    /// User of the kubeconfig, instead of the context's.
    #[arg(long, global = true, value_name = "USER", hide_short_help = true)]
    user: Option<String>,
    /// Address of the API server, instead of the cluster's.
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    server: Option<http::Uri>,
    /// User to impersonate.
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        hide_short_help = true
    )]
    impersonate: Option<String>,
    /// Group to impersonate; may be given more than once.
    #[arg(
        long = "as-group",
        global = true,
        value_name = "GROUP",
        hide_short_help = true
    )]
    impersonate_groups: Vec<String>,
    /// The longest that the API server may take to answer one request.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = format::duration, hide_short_help = true)]
    request_timeout: Duration,
}

/// A connection to the pairs of one cluster.
#[derive(Clone)]
pub(super) struct Pairs {
    client: Client,
    namespace: String,
    server: String,
}

impl Target {
    /// Connects as kubectl would.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it names no such context.
    pub(super) async fn connect(&self) -> anyhow::Result<Pairs> {
        let _ = ANSWER_WITHIN.set(self.request_timeout);
        let mut config = self.config().await?;
        config.connect_timeout = Some(self.request_timeout.min(Duration::from_secs(10)));
        if let Some(server) = &self.server {
            config.cluster_url = server.clone();
        }
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !self.impersonate_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let client =
            Client::try_from(config).context("failed to set up the connection to the cluster")?;
        Ok(Pairs {
            client,
            namespace,
            server,
        })
    }

    /// The contexts of the kubeconfig.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) fn contexts(&self) -> anyhow::Result<Vec<String>> {
        let contexts = self.read_kubeconfig()?.contexts;
        Ok(contexts.into_iter().map(|context| context.name).collect())
    }

    fn read_kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read the kubeconfig {}", path.display())),
            None => Ok(Kubeconfig::read()?),
        }
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let kubeconfig = match self.read_kubeconfig() {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if self.kubeconfig.is_some() => return Err(error),
            Err(error) if self.context.is_some() => {
                return Err(error).context("failed to read the kubeconfig");
            }
            // In a pod there is no kubeconfig, but there is an account.
            Err(error) => {
                return Config::incluster().map_err(|_| {
                    error.context(
                        "failed to find a cluster: no kubeconfig can be read: set KUBECONFIG or use \
                         --kubeconfig",
                    )
                });
            }
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

    /// The pairs of all namespaces, or of the one in use.
    pub(super) fn scope(&self, all_namespaces: bool) -> Api<ReplicationPair> {
        match all_namespaces {
            true => Api::all(self.client.clone()),
            false => self.api(),
        }
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
                .map_err(|error| self.explain(name, &error))
        })
        .await
    }

    /// What a person reads about an error met when asking for `name`; for the list of pairs when
    /// that is empty.
    pub(super) fn explain(&self, name: &str, error: &kube::Error) -> anyhow::Error {
        match error {
            kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound" => {
                anyhow!(
                    "there is no pair {name} in namespace {} (kubectl ferry status -A lists all)",
                    self.namespace
                )
            }
            kube::Error::Service(_) => anyhow!("{}: {}", self.server, api_error::words(error)),
            _ => anyhow!(api_error::words(error)),
        }
    }
}

/// The answer to one request, or what the server says instead, in its own words.
///
/// # Errors
/// When the server refuses or does not answer in time.
pub(super) async fn answer<T>(request: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    bounded(async {
        let answer = request.await;
        answer.map_err(|error| anyhow!(api_error::words(&error)))
    })
    .await
}

/// The outcome of one request, which may take as long as `--request-timeout` says.
///
/// # Errors
/// The request's own, or that there was no answer in time.
pub(super) async fn bounded<T>(
    request: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let within = *ANSWER_WITHIN.get_or_init(|| REQUEST_TIMEOUT);
    tokio::time::timeout(within, request)
        .await
        .unwrap_or_else(|_| {
            Err(anyhow!(
                "the cluster did not answer within {} s (--request-timeout)",
                within.as_secs()
            ))
        })
}
