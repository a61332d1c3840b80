//! How an address in VLAN mode is taken off the network: its orders are taken back, and it is given
//! to nobody before every speaker that announced it says that it does not, or is gone for good.

use cpo_api::{
    Announce, AnnouncementState, EipSpec, EipStatus, EipVlan, conditions_differ, merge_conditions,
    names,
};

use super::super::{Plan, report};
use crate::effect::{Effect, UnderEffect};
use crate::time::Now;
use crate::under::Eip;
use crate::world::World;

/// How far an address is from being off the network.
#[derive(Debug)]
pub(in crate::plan) enum Withdrawal {
    /// The next step.
    Next(Box<Effect>),
    /// Speakers have still to say that they are silent.
    Waits,
    /// It is off.
    Done,
}

impl Withdrawal {
    /// What is to be done, if anything is.
    pub(in crate::plan) fn into_effect(self) -> Option<Effect> {
        match self {
            Self::Next(effect) => Some(*effect),
            Self::Waits | Self::Done => None,
        }
    }
}

/// The next step to take an address off the network.
pub(in crate::plan) fn withdraw(world: &World, name: &str, eip: &Eip, now: Now) -> Withdrawal {
    if eip.is_ordered() {
        let vlan = eip.spec.vlan.clone().unwrap_or_default();
        let vlan = Some(EipVlan { announce: Announce::default(), ..vlan });
        let spec = EipSpec { vlan, ..eip.spec.clone() };
        let (name, version) = (name.to_owned(), eip.version);
        let effect = Effect::Under(UnderEffect::BindEip { name, version, spec });
        return Withdrawal::Next(effect.into());
    }
    // Who says that it cannot announce does not.
    let said = eip.status.announcements.iter();
    let said = said.filter(|by| by.state != AnnouncementState::Unable);
    let nodes = said.map(|by| by.node.as_str());
    let left: Vec<&str> = nodes.filter(|node| counts(world, eip, node)).collect();
    if left.is_empty() {
        return Withdrawal::Done;
    }
    let text = format!(
        "withdrawn; waits until the speaker on {} says so. Where that node is gone for good, delete \
         its Node, or taint it node.kubernetes.io/out-of-service; or annotate this Eip with {}={}",
        left.join(", "),
        names::ANNOTATION_WITHDRAWN,
        left.join(",")
    );
    let told = tell(name, eip, &text, now);
    told.map_or(Withdrawal::Waits, |effect| Withdrawal::Next(effect.into()))
}

/// Whether what the speaker of a node says of an address counts: not where that is gone for good.
pub(super) fn counts(world: &World, eip: &Eip, node: &str) -> bool {
    let runs = world.under.nodes.get(node).is_some_and(|node| !node.out_of_service);
    runs && !eip.silenced.contains(node)
}

/// How far an address is from being off the network, if it is not off.
pub(in crate::plan) fn withdrawing(
    world: &World,
    name: &str,
    eip: &Eip,
    now: Now,
) -> Option<Withdrawal> {
    match withdraw(world, name, eip, now) {
        Withdrawal::Done => None,
        under_way => Some(under_way),
    }
}

/// Says that an address is being withdrawn, unless the `Eip` says so already.
fn tell(name: &str, eip: &Eip, text: &str, now: Now) -> Option<Effect> {
    let conditions = report::unbound(eip.generation, "Releasing", text, now);
    let conditions = merge_conditions(&eip.status.conditions, conditions);
    let told = !conditions_differ(&eip.status.conditions, &conditions);
    let status = EipStatus { conditions, ..eip.status.clone() };
    let (name, uid, version) = (name.to_owned(), eip.uid.clone(), None);
    (!told).then_some(Effect::Under(UnderEffect::PatchEipStatus { name, uid, version, status }))
}

/// Takes all addresses of a Service off the network; whether they are.
pub(in crate::plan) fn withdraw_all(
    world: &World,
    eips: &[(&String, &Eip)],
    now: Now,
    plan: &mut Plan,
) -> bool {
    // Also those that rest: one that was about to be taken again has its orders already.
    let mut off = true;
    for (name, eip) in eips.iter().filter(|(_, eip)| !eip.deleting) {
        if let Some(under_way) = withdrawing(world, name, eip, now) {
            off = false;
            plan.effects.extend(under_way.into_effect());
        }
    }
    off
}
