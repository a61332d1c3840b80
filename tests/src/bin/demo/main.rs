//! The demo: two tenants, one `cpo`, real components, real packets.
//!
//! ```text
//! demo           runs it and leaves nothing behind
//! demo --keep    runs it and leaves it up, detached from the terminal
//! demo --down    ends the one that was left up
//! ```

mod acts;
mod keep;
mod kubectl;
mod screen;

use std::process::ExitCode;

use anyhow::Result;
use lab::sandbox;
use tokio::runtime::Runtime;

use screen::Screen;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let done = match argument.as_deref() {
        None => play(false),
        Some("--keep") => keep::detach(),
        Some(keep::STAY) => play(true),
        Some("--down") => keep::down(),
        Some(other) => Err(anyhow::anyhow!("no such argument: {other} (--keep, --down)")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the acts inside the sandbox; with `stay`, does not end after them.
fn play(stay: bool) -> Result<()> {
    let sandbox = sandbox::enter();
    screen::show_progress();
    let outcome = Runtime::new()?.block_on(async {
        let mut screen = Screen::default();
        let stage = acts::all(&mut screen, stay).await?;
        screen.end()?;
        if stay {
            keep::stay(&stage).await?;
        }
        anyhow::Ok(())
    });
    outcome.inspect_err(|_| eprintln!("demo: logs are in {}", sandbox.run_dir.display()))
}
