//! Machines that are asked whether they take connections.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::probe::{Asked, Prober};
use lab::traffic::WhoAmI;
use speaker_core::gate::Family;
use speaker_core::health::{Failing, Target};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bed::{Bed, SOON, becomes, eip};

/// Where machines are asked.
const PORT: u16 = 10_256;

fn target(last: u8) -> Target {
    Target { machine: IpAddr::from(eip(last)), port: PORT }
}

pub(crate) async fn only_answers_come_from_a_machine_that_is_asked() -> Result<()> {
    let (bed, nodes) = Bed::with_one("asked", 2, eip(50)).await?;
    let [node] = &nodes;
    let ours = eip(241);
    // Of the second machine the gate does not know.
    node.asks(ours.into(), [target(1)].into());
    let at = |last: usize| bed.machines.get(last - 1).context("no machine").map(|vm| &vm.host);
    let servers = [
        WhoAmI::start(at(1)?.netns(), PORT, "vm1", "vm1")?,
        WhoAmI::start(at(2)?.netns(), PORT, "vm2", "vm2")?,
    ];
    becomes("our address", || async {
        let shown = node.ip("address show dev vlan").await?;
        ensure!(shown.contains(&format!("{ours}/32")), "{shown}");
        Ok(())
    })
    .await?;
    let (targets, sources) = ([target(1), target(2)].into(), [ours.into()].into());
    let (_asked, asks) = watch::channel(Asked { targets, sources });
    let (prober, mut failing) = Prober::new(node.namespace.clone(), "vlan".to_owned(), asks);
    let prober = tokio::spawn(prober.run());
    let out = |failing: &Failing| failing.keys().copied().collect::<BTreeSet<_>>();
    let waits = failing.wait_for(|failing| out(failing) == [target(2)].into());
    timeout(SOON, waits).await.context("the one is in, the other is out")??;
    drop(servers);
    let waits = failing.wait_for(|failing| out(failing) == [target(1), target(2)].into());
    let all = timeout(SOON, waits).await.context("both are out")??.clone();
    let why = all.get(&target(1)).context("it is in")?;
    ensure!(why.contains("refused"), "it was heard to have nothing there: {why}");

    let before = node.counted(Family::V4, "unwelcome").await?;
    let socket = at(1)?.netns().inside(|| Ok(TcpSocket::new_v4()?))?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((eip(1), PORT)))?;
    let dialled = timeout(Duration::from_secs(1), socket.connect((ours, 9).into())).await;
    ensure!(dialled.is_err(), "the machine is answered: {dialled:?}");
    ensure!(node.counted(Family::V4, "unwelcome").await? > before);
    prober.abort();
    Ok(())
}
