//! What the demo prints: headings, commands with their output, checks, progress.

use std::fmt::Debug;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Result, bail};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Counts the acts and the checks that held.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    acts: usize,
    checks: usize,
}

impl Screen {
    /// Begins an act.
    pub(crate) fn act(&mut self, title: &str) -> Result<()> {
        self.acts += 1;
        line(&format!("\n{}. {title}", self.acts))
    }

    /// Says a sentence.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        line(&format!("   {text}"))
    }

    /// Shows a command and the cluster it is given to.
    pub(crate) fn command(&self, place: &str, command: &str) -> Result<()> {
        line(&format!("\n   [{place}] $ {command}"))
    }

    /// Shows a text, indented.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        text.trim_end().lines().try_for_each(|text| line(&format!("   {text}")))
    }

    /// An assertion: counted when it holds.
    ///
    /// # Errors
    /// When it does not hold.
    pub(crate) fn check(&mut self, what: &str, holds: bool) -> Result<()> {
        if !holds {
            bail!("this does not hold: {what}");
        }
        self.checks += 1;
        line(&format!("   ok: {what}"))
    }

    /// The last line.
    pub(crate) fn end(&self) -> Result<()> {
        line(&format!("\ndemo: ok ({} checks)", self.checks))
    }
}

/// Prints one line.
///
/// # Errors
/// When nobody reads it any more: then the demo ends.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Prints the lab's own steps as they end, with the seconds since now. `RUST_LOG` wins.
pub(crate) fn show_progress() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("lab=info"));
    let progress = Progress { begin: Instant::now() }.with_filter(filter);
    // A second subscriber is no error: the first goes on.
    let _ = tracing_subscriber::registry().with(progress).try_init();
}

struct Progress {
    begin: Instant,
}

impl<S: tracing::Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let Words { message, details } = words;
        // Progress nobody reads is no reason to fail; the next line of the demo is.
        let _ =
            line(&format!("   {:5.1} s  {message}{details}", self.begin.elapsed().as_secs_f32()));
    }
}

#[derive(Default)]
struct Words {
    message: String,
    details: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "elapsed" => {}
            name => self.details.push_str(&format!(" ({name} {value:?})")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.details.push_str(&format!(" ({} {value})", field.name()));
    }
}
