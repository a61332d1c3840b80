//! The demo: two tenants, one `cpo`, real components, real packets.
//!
//! ```text
//! demo           runs it and leaves nothing behind
//! demo --vlan    the same in VLAN mode
//! demo --keep    runs it and leaves it up, detached from the terminal
//! demo --down    ends the one that was left up
//! ```

mod acts;
mod keep;
mod kubectl;
mod screen;
mod vlan;

use std::process::ExitCode;

use anyhow::Result;
use lab::sandbox;
use tokio::runtime::Runtime;

use screen::Screen;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let done = match argument.as_deref() {
        None => play(false),
        Some("--vlan") => play_vlan(),
        Some("--keep") => keep::detach(),
        Some(keep::STAY) => play(true),
        Some("--down") => keep::down(),
        Some(other) => Err(anyhow::anyhow!("no such argument: {other} (--vlan, --keep, --down)")),
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
    on_stage(async |screen| {
        let stage = acts::all(screen, stay).await?;
        screen.end()?;
        if stay {
            keep::stay(&stage).await?;
        }
        Ok(())
    })
}

/// Runs the acts of VLAN mode.
fn play_vlan() -> Result<()> {
    on_stage(async |screen| {
        vlan::all(screen).await?;
        screen.end()
    })
}

fn on_stage(acts: impl AsyncFnOnce(&mut Screen) -> Result<()>) -> Result<()> {
    let sandbox = sandbox::enter();
    screen::show_progress();
    let outcome = Runtime::new()?.block_on(acts(&mut Screen::default()));
    outcome.inspect_err(|_| eprintln!("demo: logs are in {}", sandbox.run_dir.display()))
}
