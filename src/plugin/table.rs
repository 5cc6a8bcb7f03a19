//! Pairs as a table, the way kubectl writes one: a line a pair, no spaces in a cell.

use api::v1alpha1::{CyclePhase, SwitchStep};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, Table, Width, presets};
use jiff::Timestamp;
use kube::ResourceExt;

use super::format::{self, NONE};
use api::{ReplicationPair, ReplicationPairStatus, conditions};

/// How a table is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// Begin with the namespace.
    pub(super) namespace: bool,
    /// More columns, without regard for the width.
    pub(super) wide: bool,
    /// Colour what needs a look.
    pub(super) colour: bool,
    /// Leave the header out.
    pub(super) no_header: bool,
    /// Keep columns at a usual width, so that lines printed one by one stand below each other.
    pub(super) steady: bool,
}

/// One cell: its text, and how much it wants to be seen.
struct Value {
    text: String,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Plain,
    Good,
    Warn,
    Bad,
}

/// The table of `pairs` at `now`, ending in a newline; empty without pairs.
pub(super) fn render(pairs: &[ReplicationPair], layout: Layout, now: Timestamp) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if layout.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let columns = columns(layout);
    if !layout.no_header {
        table.set_header(columns.iter().map(|(name, _)| Cell::new(name)));
    }
    for pair in pairs {
        table.add_row(columns.iter().map(|(_, value)| cell(value(pair, now))));
    }
    for (column, (name, _)) in table.column_iter_mut().zip(&columns) {
        column.set_padding((0, 2));
        if layout.steady {
            let width = usual_width(name) + 2;
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_string())
        .collect();
    lines.join("\n") + "\n"
}

type Column = (&'static str, fn(&ReplicationPair, Timestamp) -> Value);

fn columns(layout: Layout) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    if layout.namespace {
        columns.push(("NAMESPACE", |pair, _| {
            plain(pair.namespace().unwrap_or_default())
        }));
    }
    columns.extend([
        (
            "NAME",
            (|pair, _| plain(pair.name_any())) as fn(&ReplicationPair, Timestamp) -> Value,
        ),
        ("PRIMARY", |pair, _| {
            of(pair, |status| status.primary.clone())
        }),
        ("READY", |pair, _| ready(pair)),
        ("POINT", |pair, _| {
            of(pair, |status| {
                Some(status.committed_point.as_ref()?.label.clone())
            })
        }),
        ("LAG", lag),
        ("SOURCE", |pair, _| {
            of(pair, |status| {
                Some(status.change_source.as_ref()?.source.clone())
            })
        }),
        ("PROGRESS", |pair, _| of(pair, progress)),
        ("WAITING", waiting),
    ]);
    if layout.wide {
        columns.extend([
            (
                "REASON",
                (|pair, _| reason(pair)) as fn(&ReplicationPair, Timestamp) -> Value,
            ),
            ("CLAIM", |pair, _| plain(pair.spec.claim_name.clone())),
            ("INTERVAL", |pair, _| {
                plain(pair.spec.snapshot.interval.clone())
            }),
            ("EPOCH", |pair, _| {
                of(pair, |status| Some(status.epoch?.to_string()))
            }),
            ("CHANGED", |pair, _| {
                of(pair, |status| {
                    Some(squeezed(status.last_cycle.as_ref()?.data_bytes))
                })
            }),
            ("SENT", |pair, _| {
                of(pair, |status| {
                    Some(squeezed(status.last_cycle.as_ref()?.wire_bytes))
                })
            }),
            ("TOOK", |pair, _| {
                of(pair, |status| {
                    Some(format::millis(status.last_cycle.as_ref()?.total_ms))
                })
            }),
        ]);
    }
    columns.push(("AGE", |pair, now| {
        plain(
            pair.creation_timestamp()
                .map_or_else(|| NONE.into(), |made| format::age(&made, now)),
        )
    }));
    columns
}

/// Columns that the cells of a healthy pair take.
fn usual_width(column: &str) -> u16 {
    match column {
        "NAMESPACE" | "NAME" => 16,
        "PROGRESS" | "SOURCE" => 10,
        "REASON" => 18,
        _ => 8,
    }
}

fn cell(value: Value) -> Cell {
    let cell = Cell::new(value.text);
    match value.mood {
        Mood::Plain => cell,
        Mood::Good => cell.fg(Color::Green),
        Mood::Warn => cell.fg(Color::Yellow),
        Mood::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

fn plain(text: String) -> Value {
    Value {
        text,
        mood: Mood::Plain,
    }
}

fn of(pair: &ReplicationPair, value: fn(&ReplicationPairStatus) -> Option<String>) -> Value {
    plain(
        pair.status
            .as_ref()
            .and_then(value)
            .unwrap_or_else(|| NONE.into()),
    )
}

fn ready(pair: &ReplicationPair) -> Value {
    let status = pair.status.as_ref();
    let condition = status.and_then(|s| conditions::get(&s.conditions, conditions::READY));
    let text = condition.map_or("Unknown", |c| c.status.as_str());
    let mood = match text {
        "True" => Mood::Good,
        "False" => Mood::Bad,
        _ => Mood::Warn,
    };
    Value {
        text: text.into(),
        mood,
    }
}

fn reason(pair: &ReplicationPair) -> Value {
    of(pair, |status| {
        Some(
            conditions::get(&status.conditions, conditions::READY)?
                .reason
                .clone(),
        )
    })
}

fn lag(pair: &ReplicationPair, now: Timestamp) -> Value {
    let status = pair.status.as_ref();
    let cut = status.and_then(|s| s.standby_as_of());
    let behind = status
        .and_then(|s| conditions::get(&s.conditions, conditions::IN_SYNC))
        .is_some_and(|c| c.status == "False");
    Value {
        text: cut.map_or_else(|| NONE.into(), |cut| format::age(cut, now)),
        mood: if behind { Mood::Warn } else { Mood::Plain },
    }
}

/// The step of a running switch, else the share of the running cycle that is done.
fn progress(status: &ReplicationPairStatus) -> Option<String> {
    if let Some(switch) = status.switch.as_ref().filter(|s| s.finished_at.is_none()) {
        return Some(match &switch.step {
            // The column is no wider than its heading, nearly.
            SwitchStep::StopApplication => "Stopping".into(),
            step => step.to_string(),
        });
    }
    let cycle = status.cycle.as_ref()?;
    match format::percent(cycle.done_bytes, cycle.planned_bytes) {
        Some(percent) if cycle.phase == CyclePhase::Shipping => Some(format!("{percent}%")),
        _ => Some(cycle.phase.to_string()),
    }
}

fn waiting(pair: &ReplicationPair, now: Timestamp) -> Value {
    match pair
        .status
        .as_ref()
        .and_then(|status| status.waiting.as_ref())
    {
        Some(wait) => Value {
            text: format::age(&wait.since, now),
            mood: Mood::Warn,
        },
        None => plain(NONE.into()),
    }
}

fn squeezed(count: i64) -> String {
    format::bytes(count).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn an_ordinary_table_is_like_kubectls_and_fits_a_terminal() {
        let pairs = [sample::shipping(), sample::waiting(), sample::fresh()];
        let text = render(&pairs, Layout::default(), sample::now());
        insta::assert_snapshot!(text, @r#"
            NAME      PRIMARY  READY    POINT   LAG     SOURCE    PROGRESS  WAITING  AGE
            orders    east     True     3.42    3m12s   Delta     44%       <none>   5d
            invoices  east     False    1.7     16m     FullRead  Stopping  2m       132m
            fresh     <none>   Unknown  <none>  <none>  <none>    <none>    <none>   3s
        "#);
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= format::width()),
            "{text}"
        );
    }

    #[test]
    fn a_wide_table_of_all_namespaces_says_more() {
        let layout = Layout {
            namespace: true,
            wide: true,
            ..Layout::default()
        };
        let text = render(&[sample::shipping()], layout, sample::now());
        insta::assert_snapshot!(text, @r#"
            NAMESPACE  NAME    PRIMARY  READY  POINT  LAG    SOURCE  PROGRESS  WAITING  REASON   CLAIM  INTERVAL  EPOCH  CHANGED  SENT     TOOK  AGE
            shop       orders  east     True   3.42   3m12s  Delta   44%       <none>   AllGood  data   5m        3      21.0MiB  17.0MiB  4.1s  5d
        "#);
    }

    #[test]
    fn cells_hold_no_spaces_and_colour_is_asked_for() {
        let layout = Layout {
            wide: true,
            namespace: true,
            ..Layout::default()
        };
        let text = render(
            &[sample::shipping(), sample::waiting()],
            layout,
            sample::now(),
        );
        let columns: Vec<usize> = text
            .lines()
            .map(|line| line.split_whitespace().count())
            .collect();
        assert_eq!(columns, [17, 17, 17], "{text}");
        assert!(!text.contains('\u{1b}'));
        let colour = Layout {
            colour: true,
            ..Layout::default()
        };
        assert!(render(&[sample::shipping()], colour, sample::now()).contains('\u{1b}'));
    }

    #[test]
    fn lines_printed_one_by_one_stand_below_each_other() {
        let head = Layout {
            steady: true,
            ..Layout::default()
        };
        let next = Layout {
            no_header: true,
            ..head
        };
        let first = render(&[sample::shipping()], head, sample::now());
        let second = render(&[sample::waiting()], next, sample::now());
        let primary = |text: &str| text.lines().last().unwrap().find("east");
        assert!(primary(&first).is_some());
        assert_eq!(primary(&first), primary(&second), "{first}{second}");
    }

    #[test]
    fn no_pairs_make_no_table() {
        assert_eq!(render(&[], Layout::default(), sample::now()), "");
    }
}
