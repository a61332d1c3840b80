//! The ways in which a leadership ends.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use lab::ovn::Northbound;
use lab::relay::Relay;
use lab::wait;

use crate::bed::SOON;
use crate::pair::Lease;
use crate::stage::{kill, pause};
use crate::trial::Trial;

/// How long both replicas are watched after what was held up has arrived.
const WATCHED: Duration = Duration::from_secs(3);

pub(crate) async fn killed(database: Northbound) -> Result<()> {
    let trial = Trial::begin(database, "killed").await?;
    let leader = trial.pair.replica(trial.leader)?.cpo.process();
    let killed = kill(leader).await?;
    let before = trial.pair.lease().await?;
    trial.pair.comes_to_lead(trial.standby).await?;
    told("killed", &before, &trial.pair.lease().await?)?;
    drop(killed);
    trial.end().await
}

pub(crate) async fn paused_past_its_deadline(database: Northbound) -> Result<()> {
    let trial = Trial::begin(database, "paused").await?;
    let pair = trial.pair;
    let leader = pair.replica(trial.leader)?.cpo.process();
    let paused = pause(leader)?;
    let before = pair.lease().await?;
    pair.comes_to_lead(trial.standby).await?;
    told("paused", &before, &pair.lease().await?)?;
    let slept = std::fs::read_to_string(leader.log())?.len();
    drop(paused);
    wait::throughout("one leader", WATCHED, || async {
        let leaders = pair.leaders().await?;
        ensure!(leaders == [trial.standby], "{leaders:?} lead");
        Ok(())
    })
    .await?;
    let log = std::fs::read_to_string(leader.log())?;
    let woken = log.get(slept..).unwrap_or_default();
    let count = |word: &str| woken.lines().filter(|line| line.contains(word)).count();
    ensure!(count("leads no more") == 1, "it does not say that it leads no more: {woken}");
    let (begun, dropped) = (count(" begun"), count("planned anew later"));
    ensure!(begun == dropped, "{begun} jobs begun and {dropped} dropped after it woke: {woken}");
    trial.end().await
}

pub(crate) async fn cut_off_from_the_api_server(database: Northbound) -> Result<()> {
    let trial = Trial::begin(database, "cut-off").await?;
    let pair = trial.pair;
    let leader = pair.replica(trial.leader)?;
    leader.api_server.cut();
    // What was under way is written before the Lease is read.
    let before = pair.lease().await?;
    pair.comes_to_lead(trial.standby).await?;
    told("cut off from the API server", &before, &pair.lease().await?)?;
    ensure!(!leader.leads().await?, "it leads still");
    // What it had sent, and the API server has not heard of, arrives now.
    leader.api_server.restore();
    leader.cpo.ready().await?;
    wait::throughout("one leader", WATCHED, || async {
        let leaders = pair.leaders().await?;
        ensure!(leaders == [trial.standby], "{leaders:?} lead");
        Ok(())
    })
    .await?;
    trial.end().await
}

pub(crate) async fn cut_off_from_ovn(database: Northbound) -> Result<()> {
    let trial = Trial::begin(database, "no-ovn").await?;
    let pair = trial.pair;
    let leader = pair.replica(trial.leader)?;
    let cut = Instant::now();
    leader.northbound.iter().for_each(Relay::cut);
    pair.comes_to_lead(trial.standby).await?;
    eprintln!("cut off from OVN: another replica leads {:?} after the cut", cut.elapsed());
    leader.northbound.iter().for_each(Relay::restore);
    leader.cpo.ready().await?;
    trial.end().await
}

pub(crate) async fn told_to_end(database: Northbound) -> Result<()> {
    let trial = Trial::begin(database, "told").await?;
    let pair = trial.pair;
    let leader = pair.replica(trial.leader)?.cpo.process();
    let told = Timestamp::now();
    let ended = Instant::now();
    leader.stop().await?;
    let ended = ended.elapsed();
    pair.comes_to_lead(trial.standby).await?;
    let taken = pair.lease().await?.acquired.duration_since(told);
    eprintln!("told to end: ended after {ended:?}, another replica leads {taken:?} after the word");
    ensure!(ended < SOON, "it was killed");
    leader.start_again()?;
    trial.end().await
}

/// The database changes its own leader at the same moment: what the leader that was had on its way
/// may reach the old one, the new one, or both.
pub(crate) async fn killed_and_paused_while_the_database_changes_its_leader() -> Result<()> {
    let trial = Trial::begin(Northbound::Clustered, "raft-killed").await?;
    let database = trial.pair.lab.ovn().northbound().cluster()?;
    let leader = trial.pair.replica(trial.leader)?.cpo.process();
    let killed = kill(leader).await?;
    let before = trial.pair.lease().await?;
    database.transfer_leadership().await?;
    trial.pair.comes_to_lead(trial.standby).await?;
    told("killed, on a cluster", &before, &trial.pair.lease().await?)?;
    drop(killed);
    trial.end().await?;

    let trial = Trial::begin(Northbound::Clustered, "raft-paused").await?;
    let leader = trial.pair.replica(trial.leader)?.cpo.process();
    let paused = pause(leader)?;
    let before = trial.pair.lease().await?;
    database.transfer_leadership().await?;
    trial.pair.comes_to_lead(trial.standby).await?;
    told("paused, on a cluster", &before, &trial.pair.lease().await?)?;
    drop(paused);
    database.transfer_leadership().await?;
    trial.end().await
}

/// Prints how long after the end of the Lease the next replica took it.
fn told(how: &str, before: &Lease, after: &Lease) -> Result<()> {
    ensure!(before.holder != after.holder, "{before:?} {after:?}");
    let late = after.acquired.duration_since(before.is_over());
    eprintln!("{how}: another replica leads {late:?} after the end of the Lease");
    // Renewed once more before it was cut off, or seen a little after it was written.
    ensure!(after.acquired >= before.is_over(), "too early: {before:?} {after:?}");
    Ok(())
}
