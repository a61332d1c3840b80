//! A steady stream of questions, to see what a change does to traffic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, client};
use crate::netns::Host;

/// How long one question of a stream may stay without an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most questions in flight; further ones are put off until one is answered.
const IN_FLIGHT: usize = 256;

/// A stream that runs; [`stop`](Self::stop) ends it, and it ends by itself in time.
#[derive(Debug)]
pub struct Stream {
    task: JoinHandle<Report>,
    stop: Arc<Semaphore>,
}

/// What a stream saw.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Questions asked.
    pub asked: usize,
    /// Questions answered.
    pub answered: usize,
    /// Questions without an answer, by the time since the start at which they were asked.
    pub failures: Vec<Failure>,
    /// The longest time without any answer.
    pub longest_gap: Duration,
    /// Answers by pod.
    pub by_pod: BTreeMap<String, usize>,
    /// How long the stream ran.
    pub duration: Duration,
}

/// A question without an answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When it was asked, since the start of the stream.
    pub at: Duration,
    /// What happened.
    pub error: String,
}

impl Report {
    /// The answered part of the questions, between 0 and 1.
    pub fn success(&self) -> f64 {
        // A stream asks far fewer than 2^52 questions.
        #[allow(clippy::cast_precision_loss)]
        let part = self.answered as f64 / self.asked.max(1) as f64;
        part
    }
}

impl Stream {
    /// Asks `http://ip:port/` from `host` `rate` times a second, each time over a connection of its
    /// own, for at most `max_seconds`.
    pub fn start(host: &Arc<Host>, url: &str, rate: u32, max_seconds: u64) -> Self {
        Self::begin(host, Question::Http(url.to_owned()), rate, max_seconds)
    }

    /// The same by datagrams, each over a socket of its own.
    pub fn datagrams(host: &Arc<Host>, to: SocketAddr, rate: u32, max_seconds: u64) -> Self {
        Self::begin(host, Question::Udp(to), rate, max_seconds)
    }

    fn begin(host: &Arc<Host>, question: Question, rate: u32, max_seconds: u64) -> Self {
        let stop = Arc::new(Semaphore::new(0));
        let run = Run {
            host: Arc::clone(host),
            question,
            interval: Duration::from_secs(1) / rate.clamp(1, 1000),
            end: Duration::from_secs(max_seconds.min(600)),
        };
        Self { task: tokio::spawn(run.run(Arc::clone(&stop))), stop }
    }

    /// Ends the stream, waits for the questions in flight, and reports.
    ///
    /// # Errors
    /// When the stream's task failed.
    pub async fn stop(self) -> Result<Report> {
        self.stop.close();
        Ok(self.task.await?)
    }
}

/// What is asked all the time.
#[derive(Debug, Clone)]
enum Question {
    Http(String),
    Udp(SocketAddr),
}

impl Question {
    async fn ask(&self, host: &Host) -> Result<Answer> {
        match self {
            Self::Http(url) => client::get_within(host, url, TIMEOUT).await,
            Self::Udp(to) => client::udp_within(host, *to, TIMEOUT).await,
        }
    }
}

struct Run {
    host: Arc<Host>,
    question: Question,
    interval: Duration,
    end: Duration,
}

type Asked = (Duration, Duration, Result<Answer>);

impl Run {
    /// Cancel safe at its one `select!`: a tick that is lost is a question not asked.
    async fn run(self, stop: Arc<Semaphore>) -> Report {
        let begin = Instant::now();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asking: JoinSet<Asked> = JoinSet::new();
        let mut seen = Vec::new();
        while begin.elapsed() < self.end {
            tokio::select! {
                _ = stop.acquire() => break,
                _ = ticks.tick() => {}
            }
            while let Some(done) = asking.try_join_next() {
                seen.extend(done);
            }
            if asking.len() >= IN_FLIGHT {
                seen.extend(asking.join_next().await.and_then(Result::ok));
            }
            let (host, question) = (Arc::clone(&self.host), self.question.clone());
            asking.spawn(async move {
                let at = begin.elapsed();
                let answer = question.ask(&host).await;
                (at, begin.elapsed(), answer)
            });
        }
        let duration = begin.elapsed();
        seen.extend(asking.join_all().await);
        report(seen, duration)
    }
}

fn report(mut seen: Vec<Asked>, duration: Duration) -> Report {
    seen.sort_by_key(|(_, end, _)| *end);
    let mut report = Report { asked: seen.len(), duration, ..Report::default() };
    let mut last = Duration::ZERO;
    for (at, end, answer) in seen {
        match answer {
            Ok(answer) => {
                report.answered += 1;
                report.longest_gap = report.longest_gap.max(end.saturating_sub(last));
                last = end;
                *report.by_pod.entry(answer.pod).or_default() += 1;
            }
            Err(error) => report.failures.push(Failure { at, error: format!("{error:#}") }),
        }
    }
    report.longest_gap = report.longest_gap.max(duration.saturating_sub(last));
    report
}
