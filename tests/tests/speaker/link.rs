//! What happens on the link.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use speaker_core::fib::Fib;
use speaker_core::gate::Family;
use speaker_core::l2::{Standing, solicited_node};

use crate::bed::{Bed, PORT, PORT6, becomes, connects, eip, eip6, mac_of};

pub(crate) async fn address_is_probed_announced_and_leads_through_the_speaker() -> Result<()> {
    let (bed, nodes) = Bed::with_one("one", 2, eip(50)).await?;
    ensure!(bed.ask(50).await.is_err(), "nobody announces it before it is known who is there");
    Bed::introduce(&nodes).await?;
    nodes[0].announces(eip(50)).await?;
    let answer = becomes("an answer", || bed.ask(50)).await?;
    ensure!(answer.client_address.ip() == IpAddr::from(eip(100)), "the client's own: {answer:?}");
    let mac = nodes[0].interface.mac.context("no Ethernet address")?;
    ensure!(bed.resolved(50).await? == Some(mac.to_string()), "the speaker's");
    let vm = bed.machines.first().context("no machine")?.host.netns();
    let asked_by = vm.ip("neigh show").await?;
    ensure!(
        asked_by.contains("169.254."),
        "asked as by somebody who wants its address: {asked_by}"
    );
    let mut pods = BTreeSet::new();
    for last in 101..=130 {
        // The machine is chosen by the addresses.
        bed.client.netns().ip(&format!("address replace {}/24 dev eth0", eip(last))).await?;
        let from = format!("route replace {}/32 dev eth0 src {}", eip(50), eip(last));
        bed.client.netns().ip(&from).await?;
        pods.insert(bed.ask(50).await?.pod);
    }
    ensure!(pods.len() == 2, "both machines get traffic: {pods:?}");
    ensure!(
        nodes[0].passed(Family::V4).await? > 0
            && nodes[0].counted(Family::V4, "refused").await? == 0
    );
    Ok(())
}

pub(crate) async fn ipv6_address_leads_through_the_speaker() -> Result<()> {
    let (bed, nodes) = Bed::announcing("six", 2, eip6(50)).await?;
    // Whoever looks who is in a group sends questions about it here.
    let group = solicited_node(eip6(50)).to_string();
    let groups = nodes[0].ip("maddr show dev vlan").await?;
    ensure!(groups.split_whitespace().any(|word| word == group), "not in {group}: {groups}");
    let to = SocketAddr::from((eip6(50), PORT6));
    becomes("a connection", || async {
        ensure!(connects(&bed.client, to).await);
        Ok(())
    })
    .await?;
    ensure!(nodes[0].passed(Family::V6).await? > 0);
    let closed = SocketAddr::from((eip6(50), PORT6 + 1));
    let before = nodes[0].counted(Family::V6, "refused").await?;
    ensure!(!connects(&bed.client, closed).await, "no port of a Service");
    ensure!(nodes[0].counted(Family::V6, "refused").await? > before);
    Ok(())
}

pub(crate) async fn machines_are_known_before_a_packet_comes_and_those_left_are_forgotten()
-> Result<()> {
    let bed = Bed::new("known", 2, &[50]).await?;
    let node = bed.node(1).await?;
    bed.let_through(std::slice::from_ref(&node), &[50])?;
    let kept = async || {
        let shown = node.ip("neigh show dev vlan nud all").await?;
        let managed = shown.lines().filter(|line| line.contains(" managed "));
        let reached = managed.filter(|line| line.contains(" lladdr "));
        let words = reached.filter_map(|line| line.split_whitespace().next());
        words.map(|word| Ok(word.parse::<IpAddr>()?)).collect::<Result<BTreeSet<_>>>()
    };
    let of = |v4| bed.machines(v4);
    let all = of(true).union(&of(false)).copied().collect::<BTreeSet<_>>();
    becomes("all are known", || async {
        let kept = kept().await?;
        ensure!(kept == all, "{kept:?} of {all:?}");
        Ok(())
    })
    .await?;
    let one: BTreeSet<IpAddr> = of(true).into_iter().take(1).collect();
    node.lead([(eip(50).into(), Arc::new(one.clone()))].into());
    becomes("the others are forgotten", || async {
        let kept = kept().await?;
        ensure!(kept == one, "{kept:?} instead of {one:?}");
        Ok(())
    })
    .await
}

pub(crate) async fn two_speakers_share_addresses_and_one_that_ends_is_replaced() -> Result<()> {
    let eips: Vec<u8> = (50..60).collect();
    let bed = Bed::new("two", 2, &eips).await?;
    let nodes = [bed.node(1).await?, bed.node(2).await?];
    bed.let_through(&nodes, &eips)?;
    for last in &eips {
        bed.announce(&nodes, eip(*last)).await?;
    }
    Bed::introduce(&nodes).await?;
    for last in &eips {
        let one = becomes("one of them announces", || async {
            let announcing: Vec<_> = nodes.iter().filter(|n| n.is_announcing(*last)).collect();
            match &announcing[..] {
                [one] => Ok(one.interface.mac),
                other => bail!("{last}: {} announce it", other.len()),
            }
        });
        let mac = one.await?.context("no Ethernet address")?;
        becomes("an answer", || bed.ask(*last)).await?;
        ensure!(bed.resolved(*last).await? == Some(mac.to_string()));
    }
    let [one, other] = &nodes;
    ensure!(eips.iter().any(|last| one.is_announcing(*last)), "each has some");
    ensure!(eips.iter().any(|last| other.is_announcing(*last)), "each has some");
    one.end();
    let mac = other.interface.mac.context("no Ethernet address")?;
    for last in &eips {
        other.announces(eip(*last)).await?;
        becomes("the client knows", || async {
            let resolved = bed.resolved(*last).await?;
            ensure!(resolved == Some(mac.to_string()), "{last}: {resolved:?}");
            Ok(())
        })
        .await?;
        bed.ask(*last).await?;
    }
    Ok(())
}

pub(crate) async fn address_that_a_host_has_is_left_to_it() -> Result<()> {
    let bed = Bed::new("foreign", 1, &[50]).await?;
    let stranger = bed.stranger(eip(50)).await?;
    let nodes = [bed.node(1).await?];
    bed.let_through(&nodes, &[50])?;
    bed.announce(&nodes, eip(50)).await?;
    Bed::introduce(&nodes).await?;
    let mac = mac_of(&stranger).await?;
    let conflict = |standing: Option<&Standing>| matches!(standing, Some(Standing::Conflict { with }) if *with == mac);
    nodes[0].stands_as(eip(50), conflict).await?;
    ensure!(!connects(&bed.client, SocketAddr::from((eip(50), PORT))).await);
    ensure!(bed.resolved(50).await? == Some(mac.to_string()), "the stranger's");
    Ok(())
}

pub(crate) async fn routes_come_back_after_an_outage_of_the_link() -> Result<()> {
    let (bed, nodes) = Bed::announcing("outage", 2, eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    let before = nodes[0].fib()?;
    // Of each family.
    ensure!(before.routes.len() == 2 && before.next_hops.len() == 4, "{before:?}");
    nodes[0].netns.ip("link set eth0 down").await?;
    becomes("the kernel takes them away", || async {
        ensure!(nodes[0].fib()?.routes.is_empty());
        Ok(())
    })
    .await?;
    nodes[0].netns.ip("link set eth0 up").await?;
    becomes("an answer", || bed.ask(50)).await?;
    bed.let_through(&nodes, &[])?;
    becomes("nothing is left", || async {
        let left = nodes[0].fib()?;
        ensure!(left == Fib::default(), "{left:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

pub(crate) async fn what_fails_later_takes_no_address_back() -> Result<()> {
    let (bed, nodes) = Bed::announcing("later", 1, eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    let withdrawn = nodes[0].withdraws(50);
    // The next change of the gate is refused; it is loaded whole then, in place of that which an
    // earlier version left.
    nodes[0].without_gate().await?;
    bed.let_through(&nodes, &[50, 51])?;
    becomes("the gate is back", || nodes[0].counted(Family::V4, "refused")).await?;
    bed.ask(50).await?;
    ensure!(!withdrawn.is_finished(), "it was withdrawn for a moment");
    withdrawn.abort();
    Ok(())
}

pub(crate) async fn refused_route_leaves_the_one_before_and_keeps_no_other() -> Result<()> {
    let (bed, nodes) = Bed::announcing("refused", 1, eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    // Its own address is nobody's gateway; a later route is made all the same.
    let own = nodes[0].sender().await?;
    nodes[0]
        .lead([(eip(50).into(), Arc::new([own].into())), (eip(51).into(), Arc::default())].into());
    becomes("the other route", || async {
        ensure!(nodes[0].fib()?.routes.contains_key(&eip(51).into()));
        Ok(())
    })
    .await?;
    bed.ask(50).await?;
    ensure!(nodes[0].is_announcing(50));
    Ok(())
}

pub(crate) async fn interface_that_vanishes_withdraws_what_it_announced() -> Result<()> {
    let (_bed, nodes) = Bed::announcing("vanishes", 1, eip(50)).await?;
    nodes[0].ip("link delete vlan").await?;
    nodes[0].stands_as(eip(50), |standing| matches!(standing, Some(Standing::Silent))).await
}
