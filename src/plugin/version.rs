//! `kubectl ferry version`: of the plugin, and of the operators in the cluster.

use anstream::println;
use serde_json::{Value, json};

use super::connect::Target;
use super::operators::{self, Operator};
use super::output::{self, Output};

/// What is shown of an operator that does not say its version.
const UNKNOWN: &str = "unknown";

/// What `version` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the plugin's version only, and ask no cluster.
    #[arg(long)]
    client: bool,
    /// Print in another form.
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Output>,
}

/// Prints the versions. That the cluster can't be asked is no error: the plugin's is known anyway.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let operators = match args.client {
        true => Ok(Vec::new()),
        false => find(target).await.map_err(|error| format!("{error:#}")),
    };
    if let Some(form) = args.output {
        anstream::print!("{}", output::text(&object(&operators), form)?);
        return Ok(());
    }
    println!("plugin    {}", env!("CARGO_PKG_VERSION"));
    match &operators {
        Ok(_) if args.client => {}
        Ok(found) if found.is_empty() => println!("operator  none that the chart installed"),
        Ok(found) => found.iter().for_each(|operator| {
            println!(
                "operator  {} ({}/{})",
                operator.version.as_deref().unwrap_or(UNKNOWN),
                operator.namespace,
                operator.name
            );
        }),
        Err(why) => println!("operator  unknown: {why}"),
    }
    Ok(())
}

fn object(operators: &Result<Vec<Operator>, String>) -> Value {
    let mut object = json!({"plugin": env!("CARGO_PKG_VERSION")});
    match operators {
        Ok(found) => {
            object["operators"] = found
                .iter()
                .map(|o| json!({"namespace": o.namespace, "name": o.name, "version": o.version.as_deref().unwrap_or(UNKNOWN)}))
                .collect();
        }
        Err(why) => object["error"] = json!(why),
    }
    object
}

async fn find(target: &Target) -> anyhow::Result<Vec<Operator>> {
    operators::find(target.connect().await?.client()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_can_not_be_asked_is_said_and_is_no_error() {
        let known = object(&Err("deployments.apps is forbidden".into()));
        assert_eq!(known["plugin"], env!("CARGO_PKG_VERSION"));
        assert_eq!(known["error"], "deployments.apps is forbidden");
        let found = object(&Ok(vec![Operator {
            namespace: "ferry-system".into(),
            name: "ferry-operator".into(),
            version: Some("0.1.0".into()),
            ready: 1,
        }]));
        assert_eq!(found["operators"][0]["version"], "0.1.0");
    }
}
