//! What speakers leave on a node: nothing when they are told to, and nothing that the next run does
//! not take over or sweep when they are killed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use lab::netns::Netns;
use lab::speaker::Speaker;
use lab::wait;
use serde_json::json;

use crate::bed::{Bed, SOON, TENANTS, bed};

/// Where namespaces have their names.
const PINS: &str = "/run/netns";

/// All that could be left on a node, line by line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ground(BTreeSet<String>);

impl Ground {
    /// What is on a node now.
    pub(crate) async fn of(netns: &Netns) -> Result<Self> {
        wait::until("every IPv6 address to be a node's own", SOON, || async {
            let shown = ip(netns, "-6 address show").await?;
            ensure!(!shown.contains("tentative"), "{shown}");
            Ok(())
        })
        .await?;
        let mut lines = BTreeSet::new();
        for what in [
            "-details link show",
            "address show",
            "-4 rule show",
            "-6 rule show",
            "-4 route show table all",
            "-6 route show table all",
            "nexthop show",
        ] {
            let shown = ip(netns, what).await?;
            lines.extend(shown.lines().map(|line| format!("ip {what}: {}", line.trim())));
        }
        let rules =
            netns.exec_root("nft").args(["--stateless", "list", "ruleset"]).output().await?;
        lines.extend(rules.lines().map(|line| format!("nft: {line}")));
        lines.extend(netns.inside(|| {
            let mut found = BTreeSet::new();
            for folder in ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"] {
                settings(&Path::new("/proc/sys/net").join(folder), &mut found)?;
            }
            for name in ["ip_forward", "fib_multipath_hash_policy", "fib_multipath_hash_seed"] {
                setting(&Path::new("/proc/sys/net/ipv4").join(name), &mut found);
            }
            Ok(found)
        })?);
        lines.extend(pins(netns)?.into_iter().map(|pin| format!("namespace {pin}")));
        Ok(Self(lines))
    }

    /// Holds that another is alike.
    fn is_like(&self, before: &Self) -> Result<()> {
        let (more, less) = (self.0.difference(&before.0), before.0.difference(&self.0));
        let (more, less): (Vec<_>, Vec<_>) = (more.collect(), less.collect());
        ensure!(more.is_empty() && less.is_empty(), "left: {more:#?}\ngone: {less:#?}");
        Ok(())
    }
}

/// What `ip` shows on a node.
async fn ip(netns: &Netns, words: &str) -> Result<String> {
    netns.exec("ip").args(words.split(' ')).output().await
}

fn settings(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            settings(&path, found)?;
        } else {
            setting(&path, found);
        }
    }
    Ok(())
}

/// One that cannot be read has no value.
fn setting(path: &Path, found: &mut BTreeSet<String>) {
    let value = std::fs::read_to_string(path).unwrap_or_default();
    found.insert(format!("{} = {}", path.display(), value.trim()));
}

/// The namespaces that speakers of a node have pinned.
fn pins(node: &Netns) -> Result<Vec<String>> {
    let first = format!("{}-", node.name());
    let names = std::fs::read_dir(PINS)?.filter_map(|pin| pin.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(&first)).collect();
    names.sort_unstable();
    Ok(names)
}

/// The namespace itself, that has a name.
fn inode(pin: &str) -> Result<u64> {
    Ok(std::fs::metadata(Path::new(PINS).join(pin))?.ino())
}

/// The last node with its speaker, and the name of its namespace for a tenant's VLAN.
fn last(bed: &Bed) -> Result<(&lab::overlay::Node, &Speaker)> {
    let (nodes, speakers) = (bed.lab.lans()?.nodes(), &bed.speakers);
    Ok((nodes.last().context("no node")?, speakers.last().context("no speaker")?))
}

pub(crate) async fn speaker_that_is_removed_leaves_the_node_as_it_was() -> Result<()> {
    let bed = bed().await?;
    let (node, speaker) = last(bed)?;
    ensure!(pins(node.netns())?.len() == TENANTS.len(), "{:?}", pins(node.netns())?);
    speaker.process().stop().await?;
    // One that is replaced leaves its places, for the next.
    ensure!(pins(node.netns())?.len() == TENANTS.len(), "{:?}", pins(node.netns())?);
    let removed = Speaker::start_with(&bed.lab, node, &["--remove-on-exit"]).await?;
    removed.hears(&TENANTS, bed.speakers.len() - 1, SOON).await?;
    removed.process().stop().await?;
    let before = bed.before.last().context("no node")?;
    Ground::of(node.netns()).await?.is_like(before)
}

pub(crate) async fn what_a_killed_speaker_left_is_taken_over_or_swept() -> Result<()> {
    let bed = bed().await?;
    let (node, speaker) = last(bed)?;
    let under = bed.lab.under();
    let (kept, swept) =
        (format!("{}-a", node.netns().name()), format!("{}-b", node.netns().name()));
    let routes = async |pin: &str| {
        let place = lab::exec::Place::Namespace(pin.to_owned());
        let exec = lab::exec::Exec::new(place, "ip").args(["route", "show", "proto", "213"]);
        exec.output().await
    };
    let before = (inode(&kept)?, routes(&kept).await?);
    ensure!(!before.1.is_empty(), "no routes");
    let macs = async || speaker.json().await.map(|told| told.pointer("/vlans/a/mac").cloned());
    let mac = macs().await?;
    speaker.process().kill().await?;
    ensure!(before == (inode(&kept)?, routes(&kept).await?), "the kernel goes on");
    // While it is away the node leaves a VLAN.
    let b = bed.lab.tenant("b")?;
    let mut elsewhere = lab::cpo::tenant_cluster(b, json!({}));
    let Some(interface) = elsewhere.pointer_mut("/spec/vlan/interfaces/0") else {
        bail!("no interfaces: {elsewhere}");
    };
    let names: Vec<_> = bed.speakers.iter().map(Speaker::node).collect();
    let others: Vec<_> = names.iter().filter(|name| **name != node.name()).collect();
    let selector = json!({"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": others},
    ]});
    interface.as_object_mut().context("no object")?.insert("nodeSelector".into(), selector);
    under.apply(&elsewhere).await?;
    speaker.process().start_again()?;
    wait::until("the namespace of a VLAN that is none of this node's to be gone", SOON, || async {
        let left = pins(node.netns())?;
        ensure!(!left.contains(&swept), "{left:?}");
        Ok(())
    })
    .await?;
    speaker.hears(&["a"], bed.speakers.len() - 1, SOON).await?;
    ensure!(before == (inode(&kept)?, routes(&kept).await?), "not the same as before");
    ensure!(mac == macs().await?, "another Ethernet address");
    under.apply(&lab::cpo::tenant_cluster(b, json!({}))).await?;
    bed.all_hear_each_other().await
}
