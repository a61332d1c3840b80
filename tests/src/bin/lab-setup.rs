//! Builds the lab's components into the user's cache and says where they lie.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match lab::components::ensure() {
        Ok(components) => {
            let text = format!("components are in {}\n", components.cache.display());
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
