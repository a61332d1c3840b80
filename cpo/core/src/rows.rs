//! The OVN rows a Service needs, and their difference to those that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::backends::Backend;
use crate::effect::{LbChange, LbEdit, RouterRef};
use crate::ids::{Install, ServiceKey, Uid};
use crate::ovn::{self, LoadBalancer, Ovn};
use crate::request::Request;
use crate::service::Protocol;

/// `name` of every row of ours: the shield's, which Kube-OVN's collector spares.
#[must_use]
pub fn row_name(install: &Install) -> String {
    match install.as_str() {
        "default" => "cloud-provider-ovn".to_owned(),
        other => format!("cloud-provider-ovn-{other}"),
    }
}

/// Identity of a row.
#[must_use]
pub fn owner(tenant: &Uid, key: &ServiceKey, protocol: Protocol) -> String {
    format!("{tenant}/{}/{}/{protocol}", key.namespace(), key.name())
}

/// The rows that serve `request` at `address`: one per protocol that has a port.
#[must_use]
pub fn compile(
    install: &Install,
    tenant: &Uid,
    key: &ServiceKey,
    address: Ipv4Addr,
    request: &Request,
    backends: &[Backend],
) -> BTreeMap<Protocol, LoadBalancer> {
    let mut rows = BTreeMap::new();
    for (port, node_port) in &request.ports {
        let row = rows
            .entry(port.protocol)
            .or_insert_with(|| empty(install, tenant, key, port.protocol, request.affinity));
        let targets: BTreeSet<_> = backends.iter().map(|b| (b.address, *node_port)).collect();
        let targets: Vec<_> = targets.iter().map(|(ip, port)| format!("{ip}:{port}")).collect();
        row.vips.insert(format!("{address}:{}", port.port), targets.join(","));
    }
    rows
}

fn empty(
    install: &Install,
    tenant: &Uid,
    key: &ServiceKey,
    protocol: Protocol,
    affinity: Option<u32>,
) -> LoadBalancer {
    let mut options = BTreeMap::from([
        ("reject".to_owned(), "true".to_owned()),
        ("neighbor_responder".to_owned(), "reachable".to_owned()),
        ("ct_flush".to_owned(), "true".to_owned()),
    ]);
    if let Some(seconds) = affinity {
        options.insert("affinity_timeout".to_owned(), seconds.to_string());
    }
    let fields: &[&str] =
        if affinity.is_some() { &["ip_src"] } else { &["ip_src", "ip_dst", "tp_src", "tp_dst"] };
    LoadBalancer {
        name: row_name(install),
        protocol,
        vips: BTreeMap::new(),
        options,
        selection_fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        external_ids: BTreeMap::from([
            (ovn::VENDOR.to_owned(), ovn::VENDOR_US.to_owned()),
            (ovn::INSTALL.to_owned(), install.to_string()),
            (ovn::OWNER.to_owned(), owner(tenant, key, protocol)),
            (ovn::SERVICE.to_owned(), key.to_string()),
        ]),
    }
}

/// The edits that turn the Service's observed rows into `desired`, attached to `router` alone.
/// Empty where nothing differs. A row too many is emptied; the sweep deletes it.
#[must_use]
pub fn diff(
    ovn: &Ovn,
    key: &ServiceKey,
    desired: &BTreeMap<Protocol, LoadBalancer>,
    router: &RouterRef,
) -> Vec<LbEdit> {
    let mut edits = Vec::new();
    let mut kept = BTreeSet::new();
    for row in desired.values() {
        match incarnation(ovn, key, row, router.uuid) {
            Some((uuid, observed)) => {
                kept.insert(uuid);
                edits.extend(change(uuid, observed, row));
                let attached: BTreeSet<_> = ovn.attached_to(uuid).collect();
                if !attached.contains(&router.uuid) {
                    edits.push(LbEdit::Attach { row: uuid, router: router.clone() });
                }
                let strays = attached.into_iter().filter(|r| *r != router.uuid);
                edits.extend(strays.map(|stray| LbEdit::Detach { row: uuid, router: stray }));
            }
            None => edits.push(LbEdit::Insert { row: row.clone(), router: router.clone() }),
        }
    }
    edits.extend(withdraw(ovn, key).into_iter().filter(|edit| !kept.contains(&edit.row())));
    edits
}

/// The row that already stands for `row`: the attached one, else the one with the lowest UUID.
fn incarnation<'a>(
    ovn: &'a Ovn,
    key: &ServiceKey,
    row: &LoadBalancer,
    router: Uuid,
) -> Option<(Uuid, &'a LoadBalancer)> {
    let same = rows_of(ovn, key)
        .filter(|(_, observed)| observed.external_id(ovn::OWNER) == row.external_id(ovn::OWNER));
    same.min_by_key(|(uuid, _)| (!ovn.attached_to(*uuid).any(|r| r == router), *uuid))
}

/// Our rows of a Service.
pub fn rows_of<'a>(
    ovn: &'a Ovn,
    key: &ServiceKey,
) -> impl Iterator<Item = (Uuid, &'a LoadBalancer)> {
    let uuids = ovn.of_service.get(key).into_iter().flatten();
    uuids.filter_map(|uuid| ovn.load_balancers.get(uuid).map(|row| (*uuid, row)))
}

/// The address that the live rows of a Service serve, if there are any.
#[must_use]
pub fn served_address(ovn: &Ovn, key: &ServiceKey) -> Option<Ipv4Addr> {
    rows_of(ovn, key).find_map(|(_, row)| row.address())
}

/// Empties every row of a Service that still serves something.
#[must_use]
pub fn withdraw(ovn: &Ovn, key: &ServiceKey) -> Vec<LbEdit> {
    let live = rows_of(ovn, key).filter(|(_, row)| !row.is_tombstone());
    live.map(|(uuid, row)| LbEdit::Change {
        row: uuid,
        owner: row.external_id(ovn::OWNER).unwrap_or_default().to_owned(),
        change: LbChange { vips: Some(BTreeMap::new()), ..LbChange::default() },
    })
    .collect()
}

fn change(uuid: Uuid, observed: &LoadBalancer, desired: &LoadBalancer) -> Option<LbEdit> {
    fn differs<T: PartialEq + Clone>(observed: &T, desired: &T) -> Option<T> {
        (observed != desired).then(|| desired.clone())
    }
    let change = LbChange {
        name: differs(&observed.name, &desired.name),
        protocol: differs(&observed.protocol, &desired.protocol),
        vips: differs(&observed.vips, &desired.vips),
        options: differs(&observed.options, &desired.options),
        selection_fields: differs(&observed.selection_fields, &desired.selection_fields),
        external_ids: differs(&observed.external_ids, &desired.external_ids),
    };
    let owner = desired.external_id(ovn::OWNER).unwrap_or_default().to_owned();
    (change != LbChange::default()).then_some(LbEdit::Change { row: uuid, owner, change })
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
