//! The cluster under test and the programs of this repository.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::process::Command;

/// Where the lab leaves the kubeconfig of the first cluster.
const KUBECONFIG: &str = "/run/ferry-lab/east/kubeconfig";
/// Namespace that the chart is installed in.
pub const OPERATOR_NAMESPACE: &str = "ferry-system";
/// Longest time for one run of a program of ours or of helm.
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);

/// A cluster to run stories on.
#[derive(Clone)]
pub struct Lab {
    /// Client of the cluster that holds both sites.
    pub client: Client,
    /// Its kubeconfig, for `kubectl ferry` and `helm`.
    pub kubeconfig: PathBuf,
    /// Top folder of the repository.
    pub root: PathBuf,
}

/// What a program printed.
pub struct Output {
    /// Whether it ended with exit code 0.
    pub ok: bool,
    /// Its exit code, when it was not killed.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output and standard error, one after the other.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Lab {
    /// Connects to the cluster of `FERRY_E2E_KUBECONFIG`, or else to the lab's first one.
    ///
    /// # Errors
    /// When there is no kubeconfig or the API server does not answer.
    pub async fn connect() -> Result<Lab> {
        let kubeconfig = std::env::var_os("FERRY_E2E_KUBECONFIG")
            .map_or_else(|| PathBuf::from(KUBECONFIG), PathBuf::from);
        if !kubeconfig.exists() {
            bail!(
                "there is no cluster: {} does not exist; run `make up` first",
                kubeconfig.display()
            );
        }
        let options = KubeConfigOptions::default();
        let mut config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(&kubeconfig)?, &options).await?;
        config.connect_timeout = Some(Duration::from_secs(10));
        let client = Client::try_from(config)?;
        client.apiserver_version().await.with_context(|| {
            format!(
                "the cluster of {} does not answer; run `make up`",
                kubeconfig.display()
            )
        })?;
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Ok(Lab {
            client,
            kubeconfig,
            root,
        })
    }

    /// Runs the lab's own program (`e2e/cluster/lab`).
    ///
    /// # Errors
    /// When it fails.
    pub async fn lab(&self, args: &[&str]) -> Result<String> {
        let program = self.root.join("e2e/cluster/lab");
        let output = self.run(&program, args).await?;
        if !output.ok {
            bail!("lab {} failed: {}", args.join(" "), output.all().trim());
        }
        Ok(output.stdout)
    }

    /// Runs `kubectl ferry`, whatever its exit code.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn kubectl_ferry(&self, args: &[&str]) -> Result<Output> {
        self.run(&self.built("kubectl-ferry", "FERRY_E2E_PLUGIN")?, args)
            .await
    }

    /// Runs helm.
    ///
    /// # Errors
    /// When it fails.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        let helm = std::env::var_os("FERRY_E2E_HELM").map_or_else(|| tool("helm"), PathBuf::from);
        let output = self.run(&helm, args).await?;
        if !output.ok {
            bail!("helm {} failed: {}", args.join(" "), output.all().trim());
        }
        Ok(output.stdout)
    }

    /// Runs kubectl, whatever its exit code.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.run(&tool("kubectl"), args).await
    }

    /// The newest build of a program of this package: that of `variable`, or else in `target/`.
    fn built(&self, name: &str, variable: &str) -> Result<PathBuf> {
        if let Some(path) = std::env::var_os(variable) {
            return Ok(path.into());
        }
        let mut found: Vec<(std::time::SystemTime, PathBuf)> = ["release", "debug"]
            .iter()
            .map(|profile| self.root.join("target").join(profile).join(name))
            .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
            .collect();
        found.sort();
        let (_, path) = found
            .pop()
            .with_context(|| format!("{name} is not built; run `cargo build --bin {name}`"))?;
        Ok(path)
    }

    /// Runs a program with this cluster's kubeconfig.
    ///
    /// # Errors
    /// When it can't be started or takes longer than [`PROGRAM_LIMIT`].
    pub async fn run(&self, program: &Path, args: &[&str]) -> Result<Output> {
        let child = Command::new(program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_COLOR", "1")
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let output = tokio::time::timeout(PROGRAM_LIMIT, child.wait_with_output())
            .await
            .with_context(|| {
                format!("{} {} takes too long", program.display(), args.join(" "))
            })??;
        Ok(Output {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// A program that the lab has built, or else that of the path.
fn tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("FERRY_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/ferry")));
    cache
        .map(|cache| cache.join("bin").join(name))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}
