//! A pair's whole life: what `make demo` shows and the story `life` proves.
//!
//! The application is a database that knows nothing of Ferry. Each part says what it did and checks
//! it by content: the standby's snapshot against the source's, the database's rows against what the
//! application had been promised as safe.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use api::conditions;

use super::teller::{self, Teller, bytes, seconds};
use crate::harness::app::Rows;
use crate::harness::pair::is_true;
use crate::harness::{App, Pair, PairOptions, Scene, content, leftovers};

/// How much the life moves.
pub struct Amounts {
    /// Size of the application's claim.
    pub claim: &'static str,
    /// Orders before the pair is made, of [`Amounts::order_bytes`] each.
    pub seed_orders: u64,
    /// Orders between two cycles.
    pub cycle_orders: u64,
    /// Bytes of an order.
    pub order_bytes: u64,
}

/// What both `make demo` and the story use.
pub const AMOUNTS: Amounts = Amounts {
    claim: "256Mi",
    seed_orders: 3000,
    cycle_orders: 400,
    order_bytes: 4096,
};

/// A cycle may put this much on the wire besides twice what the application wrote: the file
/// system's and the database's own writes.
const CYCLE_EXTRA_BYTES: i64 = 4 << 20;
/// Delta cycles that are shown.
const CYCLES: u32 = 3;

/// The life, from an application without Ferry to a pair that has failed over and back.
pub struct Life<'a> {
    scene: &'a Scene,
    teller: Teller,
    amounts: Amounts,
    /// Bytes of the volume, known after the baseline.
    volume_bytes: i64,
}

impl<'a> Life<'a> {
    /// Ready to begin in an empty namespace.
    #[must_use]
    pub fn new(scene: &'a Scene, teller: Teller, amounts: Amounts) -> Life<'a> {
        Life {
            scene,
            teller,
            amounts,
            volume_bytes: 0,
        }
    }

    /// Lives it. The pair and the application are left as they are at the end.
    ///
    /// # Errors
    /// At the first thing that is not as it has to be.
    pub async fn live(mut self) -> Result<Teller> {
        let app = self.application().await?;
        let pair = self.baseline().await?;
        self.cycles(&pair, &app).await?;
        self.planned_switch(&pair, &app, "east", "west").await?;
        self.old_site_follows(&pair, &app).await?;
        self.forced_failover(&pair, &app).await?;
        self.failback(&pair, &app).await?;
        self.nothing_left_over(&pair).await?;
        Ok(self.teller)
    }

    async fn application(&mut self) -> Result<App<'a>> {
        self.teller
            .step("An application that knows nothing of Ferry");
        self.scene
            .claim("data", "fast", self.amounts.claim, false)
            .await?;
        let app = App::open(self.scene, "data", "0.5").await?;
        app.add(self.amounts.seed_orders, self.amounts.order_bytes)
            .await?;
        let rows = app.rows().await?;
        self.teller.tell(format!(
            "SQLite on claim data ({}): {rows}",
            self.amounts.claim
        ));
        Ok(app)
    }

    async fn baseline(&mut self) -> Result<Pair<'a>> {
        self.teller.step("The pair is applied: the first copy");
        let options = PairOptions::orders().with_application("Deployment", "shop");
        let pair = Pair::apply(self.scene, &options).await?;
        let cycle = pair.baseline().await?;
        self.teller.tell(teller::cycle(&cycle));
        let digest = content::same_at(&pair, &cycle.point).await?;
        self.volume_bytes = i64::try_from(digest.size)?;
        self.teller.tell(format!(
            "both sites' snapshots of cut {} are equal: {digest}",
            cycle.point
        ));
        Ok(pair)
    }

    async fn cycles(&mut self, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
        self.teller.step(format!(
            "The application writes, {CYCLES} cycles ship what changed"
        ));
        for _ in 0..CYCLES {
            self.one_cycle(pair, app).await?;
        }
        Ok(())
    }

    async fn one_cycle(&self, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
        app.add(self.amounts.cycle_orders, self.amounts.order_bytes)
            .await?;
        let written = i64::try_from(self.amounts.cycle_orders * self.amounts.order_bytes)?;
        let cycle = pair.sync().await?;
        self.teller
            .tell(format!("{} written by the application", bytes(written)));
        self.teller.tell(teller::cycle(&cycle));
        ensure!(
            cycle.change_source == "Delta",
            "the cycle went by {}, not by Delta",
            cycle.change_source
        );
        ensure!(
            cycle.wire_bytes <= 3 * written + CYCLE_EXTRA_BYTES,
            "{} went over the wire for {} written",
            bytes(cycle.wire_bytes),
            bytes(written)
        );
        let digest = content::same_at(pair, &cycle.point).await?;
        self.teller.tell(format!("equal at both sites: {digest}"));
        Ok(())
    }

    /// `kubectl ferry promote`, and every order that the application ever acknowledged is there.
    async fn planned_switch(
        &mut self,
        pair: &Pair<'_>,
        app: &App<'_>,
        from: &str,
        to: &str,
    ) -> Result<()> {
        self.teller.step(format!(
            "Planned switch from {from} to {to}: nothing is lost"
        ));
        let known = app.rows().await?;
        let acknowledged = app.follow_orders().await?;
        let commanded = now_ms()?;
        pair.ferry_ok("promote", &["--to", to, "--yes"]).await?;
        pair.primary_is(to).await?;
        self.teller.tell(format!("site {to} is primary"));
        let acknowledged = tokio::time::timeout(crate::harness::secs(30), acknowledged)
            .await
            .context("the application's old pod still writes its log")??;
        let read = opened_after(app, commanded).await?;
        self.teller.tell(format!(
            "the application runs at {to}: first read {:.1} s after the command",
            seconds(read - commanded)
        ));
        self.sound(app, &known, acknowledged).await
    }

    /// The rows that were known are unchanged, and no acknowledged one is missing.
    async fn sound(&self, app: &App<'_>, known: &Rows, acknowledged: u64) -> Result<()> {
        app.check().await?;
        let before = app.rows_upto(known.highest).await?;
        ensure!(
            before == *known,
            "the rows have changed: {known} became {before}"
        );
        let rows = app.rows().await?;
        ensure!(
            rows.highest >= acknowledged && rows.count == rows.highest,
            "order {acknowledged} was acknowledged, and there are {rows}"
        );
        self.teller.tell(format!(
            "database sound, every acknowledged order is there: {rows}"
        ));
        Ok(())
    }

    async fn old_site_follows(&mut self, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
        self.teller.step("The old site follows as standby");
        app.add(self.amounts.cycle_orders, self.amounts.order_bytes)
            .await?;
        self.teller.tell("rows were written at the new site");
        let first = pair.sync().await?;
        self.teller.tell(teller::cycle(&first));
        self.difference_only(pair, first.wire_bytes).await?;
        let cycle = pair.sync().await?;
        self.teller.tell(teller::cycle(&cycle));
        self.difference_only(pair, cycle.wire_bytes).await?;
        let digest = content::same_at(pair, &cycle.point).await?;
        self.teller.tell(format!("equal at both sites: {digest}"));
        Ok(())
    }

    /// No full copy: the handshake says so, and so do the bytes (SYS-3).
    async fn difference_only(&self, pair: &Pair<'_>, wire_bytes: i64) -> Result<()> {
        let handshake = pair
            .status()
            .await?
            .handshake
            .context("no handshake in status")?;
        ensure!(
            handshake.mode != "Full",
            "it was a full copy: {}",
            handshake.reason
        );
        ensure!(
            wire_bytes < self.volume_bytes / 4,
            "{} went over the wire for a difference",
            bytes(wire_bytes)
        );
        Ok(())
    }

    /// Rows that never reached the standby are lost, exactly those, and the plan says so before.
    async fn forced_failover(&mut self, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
        self.teller
            .step("Forced failover from west to east while rows are not yet replicated");
        let safe = app.rows().await?;
        let cycle = pair.sync().await?;
        app.add(50, self.amounts.order_bytes).await?;
        let written = app.since(safe.highest).await?;
        self.teller.tell(format!(
            "cut {} is committed; more rows were written after it",
            cycle.point
        ));
        let plan = pair
            .ferry_ok("promote", &["--to", "east", "--force", "--dry-run"])
            .await?;
        self.teller.quote(&plan);
        ensure!(
            plan.contains(&cycle.point),
            "the plan does not name cut {}",
            cycle.point
        );
        let loss = plan.to_lowercase().contains("los");
        ensure!(loss, "the plan does not say what would be lost");
        ensure!(
            pair.status().await?.primary.as_deref() == Some("west"),
            "a dry run has acted"
        );
        let commanded = now_ms()?;
        pair.ferry_ok("promote", &["--to", "east", "--force", "--yes"])
            .await?;
        pair.primary_is("east").await?;
        let read = opened_after(app, commanded).await?;
        self.teller.tell(format!(
            "the application runs at east: first read {:.1} s after the command",
            seconds(read - commanded)
        ));
        self.exactly_the_tail_is_lost(app, &safe, &written).await
    }

    async fn exactly_the_tail_is_lost(
        &self,
        app: &App<'_>,
        safe: &Rows,
        written: &[String],
    ) -> Result<()> {
        app.check().await?;
        let before = app.rows_upto(safe.highest).await?;
        ensure!(
            before == *safe,
            "rows from before the cut have changed: {safe} became {before}"
        );
        // The application goes on writing: its new rows are later than any that it had written.
        let there = app.since(safe.highest).await?;
        let kept = there
            .iter()
            .zip(written)
            .take_while(|(a, b)| a == b)
            .count();
        let last_old = written.last().map_or(0, |row| written_at(row));
        let mixed = there[kept..].iter().find(|row| written_at(row) <= last_old);
        ensure!(
            mixed.is_none(),
            "a row after the first lost one has survived: {mixed:?}"
        );
        let lost = written.len() - kept;
        ensure!(
            lost >= 50,
            "only {lost} rows were lost, so a later image was promoted"
        );
        self.teller.tell(format!(
            "database sound; of {} rows since the last look {kept} were in the cut, and exactly the \
             {lost} after it are lost",
            written.len()
        ));
        Ok(())
    }

    async fn failback(&mut self, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
        self.teller
            .step("Failback: west holds writes that nobody else has, and waits for consent");
        pair.until("the condition Diverged", crate::harness::secs(60), |s| {
            is_true(&s.conditions, conditions::DIVERGED).then_some(())
        })
        .await?;
        let status = pair.ferry_ok("status", &[]).await?;
        self.teller.quote(&status);
        pair.ferry_ok("resync", &["--discard", "west", "--yes"])
            .await?;
        let cycle = pair.follows().await?;
        self.teller.tell(teller::cycle(&cycle));
        self.difference_only(pair, cycle.wire_bytes).await?;
        let digest = content::same_at(pair, &cycle.point).await?;
        self.teller.tell(format!(
            "only the difference was shipped; equal at both sites: {digest}"
        ));
        self.planned_switch(pair, app, "east", "west").await
    }

    async fn nothing_left_over(&mut self, pair: &Pair<'_>) -> Result<()> {
        self.teller
            .step("Nothing is left over but what the pair owns");
        pair.sync().await?;
        leftovers::only_what_the_pair_owns(pair).await?;
        let status = pair.ferry_ok("status", &[]).await?;
        self.teller.quote(&status);
        Ok(())
    }
}

/// When the application first read its rows after the command, in milliseconds since 1970.
async fn opened_after(app: &App<'_>, commanded: i64) -> Result<i64> {
    let read = app.opened_at_ms().await?;
    ensure!(read > commanded, "the application was never stopped");
    Ok(read)
}

fn written_at(row: &str) -> i64 {
    row.split(' ')
        .nth(1)
        .and_then(|at| at.parse().ok())
        .unwrap_or(i64::MAX)
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}
