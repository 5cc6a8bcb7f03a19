//! Ferry and the demo's application on the cluster: images loaded, chart installed, operator up.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use super::lab::{Lab, OPERATOR_NAMESPACE};
use super::operator;
use super::wait::{Probe, secs, until};

/// Image of Ferry, as the lab and the chart name it.
pub const FERRY_IMAGE: &str = "localhost/ferry:e2e";
/// Image of the demo's application.
pub const APP_IMAGE: &str = "localhost/ferry-demo-shop:e2e";
/// Helm release.
pub const RELEASE: &str = "ferry";
/// Deployment of the operator that the chart makes.
pub const OPERATOR_DEPLOYMENT: &str = "ferry-operator";

/// Loads both images and installs the chart, or upgrades it, and waits until the operator works.
///
/// # Errors
/// When an image can't be made or loaded, helm refuses, or the operator does not become ready.
pub async fn install(lab: &Lab) -> Result<()> {
    load_app_image(lab).await?;
    load_ferry_image(lab).await?;
    let chart = lab.root.join("charts/ferry");
    let (repository, tag) = FERRY_IMAGE.split_once(':').unwrap_or((FERRY_IMAGE, "e2e"));
    lab.helm(&[
        "upgrade",
        "--install",
        RELEASE,
        &chart.display().to_string(),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--set",
        "sites={east,west}",
        "--set",
        &format!("image.repository={repository}"),
        "--set",
        &format!("image.tag={tag}"),
        "--set",
        "log.level=info\\,ferry=debug",
        "--set",
        "log.format=text",
    ])
    .await?;
    // The tag stays the same from one build to the next, so the pod is made again.
    operator::restart(lab).await?;
    ready(lab).await
}

/// Uninstalls the chart; the CRDs stay, and with them the pairs.
///
/// # Errors
/// When helm refuses.
pub async fn uninstall(lab: &Lab) -> Result<()> {
    lab.helm(&[
        "uninstall",
        RELEASE,
        "--namespace",
        OPERATOR_NAMESPACE,
        "--wait",
    ])
    .await?;
    Ok(())
}

/// Waits until the operator's deployment has a ready pod.
///
/// # Errors
/// When it does not within a minute.
pub async fn ready(lab: &Lab) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(lab.client.clone(), OPERATOR_NAMESPACE);
    until("the operator to be ready", secs(60), || async {
        let status = deployments
            .get(OPERATOR_DEPLOYMENT)
            .await?
            .status
            .unwrap_or_default();
        let count = status.ready_replicas.unwrap_or(0);
        Ok(Probe::<()>::when(count > 0, format!("{count} ready pods")))
    })
    .await
}

async fn load_app_image(lab: &Lab) -> Result<()> {
    let shop = format!("{}=>/bin/shop", lab.root.join("e2e/app/shop").display());
    let folder = lab.root.join("target/e2e");
    std::fs::create_dir_all(&folder)?;
    let archive = folder.join("shop.tar").display().to_string();
    lab.lab(&[
        "image",
        "--name",
        APP_IMAGE,
        "--deb",
        "sqlite3",
        "--busybox",
        "--file",
        &shop,
        "--entrypoint",
        "/bin/shop",
        "--out",
        &archive,
    ])
    .await?;
    lab.lab(&["load", &archive, "east"]).await?;
    Ok(())
}

async fn load_ferry_image(lab: &Lab) -> Result<()> {
    let archive = lab.root.join("target/image/ferry.tar");
    anyhow::ensure!(
        archive.exists(),
        "{} does not exist; run `make image` first",
        archive.display()
    );
    lab.lab(&["load", &archive.display().to_string(), "east"])
        .await?;
    Ok(())
}
