//! The table of a benchmark: one row per measure, and how many targets were met.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// How long something took.
    Time(Duration),
    /// How often a second.
    Rate(f64),
    /// How much memory, in bytes.
    Bytes(u64),
    /// How much memory, in bits.
    Bits(f64),
    /// How many.
    Count(u64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Rate(rate) => rate,
            Self::Bits(bits) => bits,
            #[expect(clippy::cast_precision_loss, reason = "a ratio for a reader")]
            Self::Bytes(number) | Self::Count(number) => number as f64,
        }
    }

    /// That many times as much.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        match self {
            Self::Time(time) => Self::Time(time.mul_f64(factor)),
            Self::Rate(rate) => Self::Rate(rate * factor),
            Self::Bits(bits) => Self::Bits(bits * factor),
            Self::Bytes(bytes) => Self::Bytes(scaled(bytes, factor)),
            Self::Count(count) => Self::Count(scaled(count, factor)),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bound for a reader"
)]
fn scaled(number: u64, factor: f64) -> u64 {
    (number as f64 * factor) as u64
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Time(time) if *time < Duration::from_micros(10) => {
                format!("{:.3} µs", time.as_secs_f64() * 1e6)
            }
            Self::Time(time) if *time < Duration::from_millis(10) => {
                format!("{:.3} ms", time.as_secs_f64() * 1e3)
            }
            Self::Time(time) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
            Self::Rate(rate) => format!("{rate:.0}/s"),
            Self::Bits(bits) => format!("{bits:.2} bit"),
            Self::Count(count) => count.to_string(),
            Self::Bytes(bytes) if *bytes < 1 << 20 => format!("{bytes} B"),
            Self::Bytes(bytes) => format!("{:.1} MiB", Self::Bytes(*bytes).number() / 1_048_576.0),
        };
        f.pad(&text)
    }
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// So much or less.
    AtMost(Figure),
    /// So much or more.
    AtLeast(Figure),
    /// Only to be known.
    None,
}

/// One measure.
#[derive(Debug)]
struct Row {
    measure: String,
    ours: Figure,
    peer: Option<Figure>,
    target: Target,
}

/// All measures, in order.
#[derive(Debug, Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// Adds a measure; `peer` is what the same takes by other means, in the same run.
    pub fn add(
        &mut self,
        measure: impl Into<String>,
        ours: Figure,
        peer: Option<Figure>,
        target: Target,
    ) {
        let row = Row { measure: measure.into(), ours, peer, target };
        eprintln!("bench: {row}");
        self.0.push(row);
    }

    /// Adds a time that is to be so short or shorter.
    pub fn time(
        &mut self,
        measure: impl Into<String>,
        ours: Duration,
        peer: Option<Duration>,
        target: Duration,
    ) {
        let target = Target::AtMost(Figure::Time(target));
        self.add(measure, Figure::Time(ours), peer.map(Figure::Time), target);
    }

    /// Prints the table and how many targets were met.
    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        let head = ["measure", "ours", "peer", "ratio", "target", "met"];
        let [measure, ours, peer, ratio, target, met] = head;
        // Nobody reads a table that cannot be written.
        let _ = writeln!(out, "{measure:<66} {ours:>10} {peer:>10} {ratio:>6} {target:>12} {met}");
        for row in &self.0 {
            let _ = writeln!(out, "{row}");
        }
        let judged = self.0.iter().filter_map(Row::met);
        let met = judged.clone().filter(|met| *met).count();
        let _ = writeln!(out, "bench: {met} of {} targets met", judged.count());
    }
}

impl Row {
    /// Whether the target is met; `None` where there is none.
    fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(bound) => Some(self.ours.number() <= bound.number()),
            Target::AtLeast(bound) => Some(self.ours.number() >= bound.number()),
            Target::None => None,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let ratio = self.peer.map(|peer| self.ours.number() / peer.number());
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let target = match self.target {
            Target::AtMost(bound) => format!("≤ {bound}"),
            Target::AtLeast(bound) => format!("≥ {bound}"),
            Target::None => "-".to_owned(),
        };
        let met = match self.met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let Self { measure, ours, .. } = self;
        write!(f, "{measure:<66} {ours:>10} {peer:>10} {ratio:>6} {target:>12} {met}")
    }
}

/// The value below which that share of the samples lies; they are sorted in place.
pub fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few thousand samples"
    )]
    let index = ((samples.len() as f64 * share).ceil() as usize).saturating_sub(1);
    samples.get(index.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The machine in a few lines, without which a figure says nothing.
pub fn machine() -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let model =
        models.clone().next().map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let memory = file("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1));
    let memory: u64 = memory.and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let kernel = file("/proc/sys/kernel/osrelease");
    format!("{} × {model}, {} GiB, Linux {}", models.count(), memory >> 20, kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_from_the_side_it_names() {
        let row =
            |target| Row { measure: String::new(), ours: Figure::Rate(100.0), peer: None, target };
        assert_eq!(row(Target::AtLeast(Figure::Rate(100.0))).met(), Some(true));
        assert_eq!(row(Target::AtMost(Figure::Rate(99.0))).met(), Some(false));
        assert_eq!(row(Target::None).met(), None);
    }

    #[test]
    fn half_of_the_samples_lie_below_the_median() {
        let mut samples: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&mut samples, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&mut [], 0.5), Duration::ZERO);
    }
}
