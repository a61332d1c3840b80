//! `ccm-proxy`: announces addresses on the VLANs of its node, and lets their packets through.

mod announcements;
mod cli;
mod differences;
mod heart;
mod input;
mod lease;
mod only;
mod parse;
mod run;
mod shared;
mod status;
mod store;
mod vlan;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ccm-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}
