//! Runs tests inside the sandbox and reports them as the standard test harness does.

use std::future::Future;
use std::io::IsTerminal;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::Result;
use futures::FutureExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};

use crate::sandbox::{self, Beside};

/// The future of a test.
pub type TestFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A test: its name, which is a statement, and what proves it.
pub struct Test {
    name: &'static str,
    body: Box<dyn FnOnce() -> TestFuture + Send>,
}

/// Makes a [`Test`] of an async function.
pub fn test<F, Fut>(name: &'static str, body: F) -> Test
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Test { name, body: Box::new(move || Box::pin(body())) }
}

/// Makes a list of [`Test`]s of async functions, each with its own name.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::harness::test(stringify!($name), $name)),*]
    };
}

/// Enters the sandbox, runs the tests the command line asks for (one at a time unless
/// `--test-threads` says otherwise) and returns the program's exit code. All tests share one
/// runtime, so that they can share a lab.
pub fn run(tests: Vec<Test>) -> ExitCode {
    run_with(Beside::Nothing, tests)
}

/// As [`run`], with more in the sandbox.
pub fn run_with(beside: Beside, tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    if arguments.list {
        let trials = tests.into_iter().map(|test| Trial::test(test.name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let sandbox = sandbox::enter_with(beside);
    start_tracing("lab=warn");
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("lab: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let handle = runtime.handle().clone();
    let trials = tests.into_iter().map(|test| trial(test, handle.clone())).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        eprintln!("lab: logs are in {}", sandbox.run_dir.display());
    }
    conclusion.exit_code()
}

/// Runs `main` inside the sandbox, on a multi-thread runtime.
///
/// # Errors
/// Those of `main`, and when the runtime cannot start.
pub fn block_on<F: Future<Output = Result<()>>>(main: impl FnOnce() -> F) -> Result<()> {
    sandbox::enter();
    start_tracing("lab=info");
    Runtime::new()?.block_on(main())
}

fn trial(test: Test, handle: Handle) -> Trial {
    let Test { name, body } = test;
    Trial::test(name, move || {
        // A task of its own: a panic inside becomes an error here, and its locals are dropped.
        let outcome = handle.block_on(async { tokio::spawn(body()).map(flatten).await });
        outcome.map_err(|error| {
            let logs = sandbox::current().map(|sandbox| sandbox.run_dir.display().to_string());
            Failed::from(format!("{error:#}\nlogs: {}", logs.unwrap_or_default()))
        })
    })
}

fn flatten(joined: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            let panic = error.into_panic();
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(anyhow::anyhow!("panicked: {}", text.unwrap_or_default()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what the lab itself does; `RUST_LOG` wins over `level`.
fn start_tracing(level: &str) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .try_init();
    });
}
