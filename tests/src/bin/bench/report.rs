//! The table of measures.

use std::io::Write as _;
use std::time::Duration;

/// One measure.
struct Row {
    measure: String,
    ours: Duration,
    peer: Option<Duration>,
    target: Duration,
}

/// All measures, in order.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// Adds a measure; `peer` is what the same takes without the product.
    pub(crate) fn add(
        &mut self,
        measure: impl Into<String>,
        ours: Duration,
        peer: Option<Duration>,
        target: Duration,
    ) {
        let row = Row { measure: measure.into(), ours, peer, target };
        eprintln!("bench: {}", line(&row));
        self.0.push(row);
    }

    /// Prints the table and how many targets were met.
    pub(crate) fn print(&self) {
        let mut out = std::io::stdout().lock();
        let head = ["measure", "ours", "peer", "ratio", "target", "met"];
        let [measure, ours, peer, ratio, target, met] = head;
        // Nobody reads a table that cannot be written.
        let _ = writeln!(out, "{measure:<58} {ours:>10} {peer:>10} {ratio:>6} {target:>10} {met}");
        for row in &self.0 {
            let _ = writeln!(out, "{}", line(row));
        }
        let met = self.0.iter().filter(|row| row.ours <= row.target).count();
        let _ = writeln!(out, "bench: {met} of {} targets met", self.0.len());
    }
}

fn line(row: &Row) -> String {
    let peer = row.peer.map_or_else(|| "-".to_owned(), millis);
    let ratio = row.peer.map_or_else(
        || "-".to_owned(),
        |peer| format!("{:.2}", row.ours.as_secs_f64() / peer.as_secs_f64()),
    );
    let met = if row.ours <= row.target { "yes" } else { "no" };
    format!(
        "{:<58} {:>10} {:>10} {:>6} {:>10} {met}",
        row.measure,
        millis(row.ours),
        peer,
        ratio,
        millis(row.target)
    )
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// The value below which that share of the samples lies; they are sorted in place.
pub(crate) fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few hundred samples"
    )]
    let index = ((samples.len() as f64 * share).ceil() as usize).saturating_sub(1);
    samples.get(index.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
}
