//! The demo, from an empty cluster to a pair that has failed over and back.

use anyhow::Result;

use super::life::{AMOUNTS, Life};
use super::teller::Teller;
use crate::harness::{Lab, Scene, install};

/// The demo's namespace.
const NAMESPACE: &str = "ferry-demo";

/// Shows it, and leaves cluster, pair and application up.
///
/// # Errors
/// At the first thing that is not as it has to be.
pub async fn show() -> Result<()> {
    let lab = Lab::connect().await?;
    let mut teller = Teller::new(true);
    teller.step("Install: one `helm install`");
    install::install(&lab).await?;
    teller.tell(format!(
        "the operator is ready in namespace {}",
        crate::harness::lab::OPERATOR_NAMESPACE
    ));
    let scene = Scene::open(&lab, NAMESPACE, false).await?;
    teller.tell(format!("namespace {NAMESPACE} is empty"));
    let lived = Life::new(&scene, teller, AMOUNTS).live().await;
    match lived {
        Ok(teller) => {
            println!(
                "\nAll of it held, in {:.0} s. {}",
                teller.total_s(),
                next(&lab)
            );
            Ok(())
        }
        Err(error) => {
            println!("{}", crate::harness::dump::dump(&scene).await);
            Err(error)
        }
    }
}

fn next(lab: &Lab) -> String {
    format!(
        "The cluster stays up; try next:\n\
         \n    export KUBECONFIG={}\n    \
         kubectl get replicationpairs -n {NAMESPACE}\n    \
         kubectl ferry status orders -n {NAMESPACE}\n    \
         kubectl ferry promote orders -n {NAMESPACE} --to east --dry-run\n    \
         kubectl exec -n {NAMESPACE} deploy/shop -- shop count\n\
         \n`make demo` runs it again, `make test` proves it, `make down` removes the cluster.",
        lab.kubeconfig.display()
    )
}
