//! The operator's tools on a real under cluster: what they say of Services that are served, and of
//! those that are not.

use std::process::ExitCode;

use lab::{harness, tests};

#[allow(dead_code, reason = "shared with the target overlay, which uses the rest")]
#[path = "overlay/bed.rs"]
mod bed;
#[path = "tools/command.rs"]
mod command;
#[path = "tools/says.rs"]
mod says;

use says::tools_say_what_is_the_matter;

fn main() -> ExitCode {
    harness::run(tests![tools_say_what_is_the_matter])
}
