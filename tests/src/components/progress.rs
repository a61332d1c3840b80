//! Progress of slow steps, on standard error.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(15);

/// Prints one line.
pub(super) fn say(text: &str) {
    eprintln!("lab: {text}");
}

/// Runs `step`; says its name and the time to expect first, then every 15 s how long it has run.
pub(super) fn step<T>(name: &str, expect: &str, step: impl FnOnce() -> T) -> T {
    say(&format!("{name}: takes about {expect} on 2 cores, once"));
    let begin = Instant::now();
    let (done, is_done) = channel::<()>();
    let value = std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{name}: {} s of about {expect}", begin.elapsed().as_secs()));
            }
        });
        let value = step();
        drop(done);
        value
    });
    say(&format!("{name}: ended after {} s", begin.elapsed().as_secs()));
    value
}
