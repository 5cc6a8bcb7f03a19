//! `kubectl ferry status`: pairs as a table, or one in detail; once, or on and on.

use std::io::{IsTerminal, Write};

use futures::{StreamExt, pin_mut};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};

use super::connect::{Pairs, Target};
use super::output::{self, Output, Wanted};
use super::selection::Selection;
use super::table::{self, Layout};
use super::{api_error, detail, need};
use api::ReplicationPair;

/// What `status` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair to show in detail; a table of all when left out.
    #[arg(conflicts_with_all = ["all_namespaces", "selector", "field_selector"])]
    pair: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Print in another form.
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Output>,
    /// Go on and print every change.
    #[arg(short, long)]
    watch: bool,
    /// Leave the table's header out.
    #[arg(long)]
    no_headers: bool,
    /// Keep metadata.managedFields in JSON and YAML.
    #[arg(long)]
    show_managed_fields: bool,
}

/// Shows pairs.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let objects = matches!(
        args.output,
        Some(Output::Json | Output::Yaml | Output::Name)
    );
    if args.watch && objects {
        anyhow::bail!("--watch prints tables; use kubectl get rp -w -o json for objects");
    }
    let pairs = target.connect().await?;
    match args.output {
        Some(form @ (Output::Json | Output::Yaml | Output::Name)) => {
            let wanted = match &args.pair {
                Some(name) => Wanted::Pair(name),
                None => Wanted::List(&args.selection),
            };
            let mut objects = output::fetch(&pairs, &wanted).await?;
            if !args.show_managed_fields {
                objects = output::without_managers(objects);
            }
            print(&output::text(&objects, form)?)
        }
        _ if args.watch => watch(&pairs, &args).await,
        _ => once(&pairs, &args).await,
    }
}

impl Args {
    fn layout(&self) -> Layout {
        Layout {
            namespace: self.selection.all_namespaces,
            wide: self.output == Some(Output::Wide),
            colour: colour(),
            no_header: self.no_headers,
            steady: self.watch,
        }
    }
}

/// Whether standard output is a terminal that wants colour.
fn colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

async fn once(pairs: &Pairs, args: &Args) -> anyhow::Result<()> {
    if let Some(name) = &args.pair {
        let pair = pairs.get(name).await?;
        if args.output == Some(Output::Wide) {
            return print(&table::render(&[pair], args.layout(), Timestamp::now()));
        }
        return print(&detail::render(&pair, Timestamp::now()));
    }
    let mut found = args.selection.list(pairs).await?;
    if found.is_empty() {
        match args.selection.all_namespaces {
            true => anstream::eprintln!("No pairs found."),
            false => anstream::eprintln!("No pairs found in {} namespace.", pairs.namespace()),
        }
    }
    need::worst_first(&mut found);
    print(&table::render(&found, args.layout(), Timestamp::now()))?;
    if let Some(line) = need::last_line(&found) {
        anstream::eprintln!("\n{line}");
    }
    Ok(())
}

/// Prints every change: one pair on a terminal as a page that is redrawn, all else as a new line.
async fn watch(pairs: &Pairs, args: &Args) -> anyhow::Result<()> {
    let params = args.selection.params();
    let mut config = watcher::Config {
        label_selector: params.label_selector,
        field_selector: params.field_selector,
        ..watcher::Config::default()
    };
    if let Some(name) = &args.pair {
        pairs.get(name).await?;
        config = config.fields(&format!("metadata.name={name}"));
    }
    let api = pairs.scope(args.selection.all_namespaces);
    let page = args.pair.is_some() && args.output.is_none() && std::io::stdout().is_terminal();
    let changes = watcher(api, config).default_backoff().applied_objects();
    pin_mut!(changes);
    let mut layout = args.layout();
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    let mut shown: Option<ReplicationPair> = None;
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(pair)) if page => shown = Some(pair),
                Some(Ok(pair)) => {
                    print(&table::render(&[pair], layout, Timestamp::now()))?;
                    layout.no_header = true;
                }
                Some(Err(error)) => lost(pairs, &error)?,
                None => return Ok(()),
            },
            // Ages go on while nothing changes.
            _ = tick.tick(), if page => {}
        }
        if let Some(pair) = shown.as_ref().filter(|_| page) {
            print(&format!(
                "\x1b[H\x1b[2J{}",
                detail::render(pair, Timestamp::now())
            ))?;
            if pair.metadata.deletion_timestamp.is_some() {
                print(&format!("{} is being deleted\n", pair.name_any()))?;
            }
        }
    }
}

/// Ends the watch where trying again can't help, and says that it goes on where it can.
fn lost(pairs: &Pairs, error: &watcher::Error) -> anyhow::Result<()> {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(answer) | WatchStartFailed(answer) | WatchFailed(answer)) = error else {
        anstream::eprintln!("lost the cluster, trying again: {error}");
        return Ok(());
    };
    if api_error::is_final(answer) {
        return Err(pairs.explain("", answer));
    }
    anstream::eprintln!(
        "lost the cluster, trying again: {}",
        pairs.explain("", answer)
    );
    Ok(())
}

/// Writes to standard output; a reader that went away, as `| head` does, ends the command well.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
