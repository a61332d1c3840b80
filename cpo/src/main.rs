//! `cpo`: watches every tenant's Services and makes their load balancers work.

mod adopt;
mod cli;
mod clock;
mod heart;
mod http;
mod import;
mod leadership;
mod lease;
mod look;
mod metrics;
mod outbox;
mod ovn;
mod rows;
mod run;
mod tenant;
mod under;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cpo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
