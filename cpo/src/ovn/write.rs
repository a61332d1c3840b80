//! Edits into one guarded transaction.
//!
//! A `where` that matches nothing is no error to the server, and everything else commits: so every
//! existing row that is relied on has a guard, and every count is checked.

use std::collections::{BTreeMap, BTreeSet};

use cpo_core::effect::{LbChange, LbEdit, RouterRef};
use cpo_core::ovn::{INSTALL, LoadBalancer, OWNER};
use cpo_core::service::Protocol;
use ovn_client::nb;
use ovn_client::{Condition, Delete, Insert, Mutate, Operation, Txn, Update, Uuid, Wait};

const BALANCER: &str = nb::LoadBalancer::TABLE;
const ROUTER: &str = nb::LogicalRouter::TABLE;

/// The transaction that makes these edits behind a guard. `fresh` draws the UUID of each new row:
/// one that no row ever had, for northd crashes on one that returns.
pub(super) fn transaction<'a>(
    guard: impl IntoIterator<Item = Operation>,
    edits: impl Iterator<Item = &'a LbEdit> + Clone,
    install: &str,
    mut fresh: impl FnMut() -> Uuid,
) -> Txn {
    let mut txn = Txn::new();
    txn.extend(guard);
    let routers: BTreeMap<Uuid, &RouterRef> = edits.clone().filter_map(router_of).collect();
    for (uuid, router) in routers {
        txn.push(Wait::row(ROUTER, uuid).holds("name", &router.name));
    }
    let relied_on: BTreeSet<Uuid> = edits.clone().filter_map(existing).collect();
    for uuid in relied_on {
        txn.push(Wait::row(BALANCER, uuid));
    }
    for edit in edits {
        match edit {
            LbEdit::Insert { row, router } => {
                let uuid = fresh();
                txn.push(Insert::row(&typed(uuid, row)));
                txn.push(attach(router.uuid, uuid));
            }
            LbEdit::Change { row, owner, change } => {
                txn.push(update(*row, owner, install, change));
            }
            LbEdit::Attach { row, router } => txn.push(attach(router.uuid, *row)),
            LbEdit::Detach { row, router } => {
                txn.push(Mutate::row(ROUTER, *router).remove("load_balancer", &only(*row)));
            }
            LbEdit::Delete { row, owner } => {
                let empty: BTreeMap<String, String> = BTreeMap::new();
                let tombstone = Delete::row(BALANCER, *row)
                    .filter(ours(owner, install))
                    .filter(Condition::equal("vips", &empty));
                txn.push(tombstone);
            }
        }
    }
    txn
}

/// How many operations an edit is, its guard on an existing row included.
pub(super) const fn operations(edit: &LbEdit) -> usize {
    match edit {
        LbEdit::Insert { .. } | LbEdit::Attach { .. } | LbEdit::Change { .. } => 2,
        LbEdit::Detach { .. } | LbEdit::Delete { .. } => 1,
    }
}

/// The router an edit needs a guard on; edits on one router share it.
pub(super) fn router(edit: &LbEdit) -> Option<Uuid> {
    router_of(edit).map(|(uuid, _)| uuid)
}

fn router_of(edit: &LbEdit) -> Option<(Uuid, &RouterRef)> {
    match edit {
        LbEdit::Insert { router, .. } | LbEdit::Attach { router, .. } => {
            Some((router.uuid, router))
        }
        LbEdit::Change { .. } | LbEdit::Detach { .. } | LbEdit::Delete { .. } => None,
    }
}

/// The row an edit relies on; deleting one that is gone is success.
fn existing(edit: &LbEdit) -> Option<Uuid> {
    match edit {
        LbEdit::Change { row, .. } | LbEdit::Attach { row, .. } => Some(*row),
        LbEdit::Insert { .. } | LbEdit::Detach { .. } | LbEdit::Delete { .. } => None,
    }
}

fn only(uuid: Uuid) -> BTreeSet<Uuid> {
    BTreeSet::from([uuid])
}

fn attach(router: Uuid, balancer: Uuid) -> Mutate {
    Mutate::row(ROUTER, router).insert("load_balancer", &only(balancer)).expect_count(1)
}

/// A row of this owner and installation: nobody else's is ever changed.
fn ours(owner: &str, install: &str) -> Condition {
    let marks = [(OWNER, owner), (INSTALL, install)];
    let marks: BTreeMap<_, _> = marks.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Condition::includes("external_ids", &marks)
}

const fn protocol(protocol: Protocol) -> nb::Protocol {
    match protocol {
        Protocol::Tcp => nb::Protocol::Tcp,
        Protocol::Udp => nb::Protocol::Udp,
        Protocol::Sctp => nb::Protocol::Sctp,
    }
}

fn typed(uuid: Uuid, row: &LoadBalancer) -> nb::LoadBalancer {
    nb::LoadBalancer {
        vips: row.vips.clone(),
        options: row.options.clone(),
        selection_fields: row.selection_fields.clone(),
        external_ids: row.external_ids.clone(),
        ..nb::LoadBalancer::new(uuid, row.name.clone(), protocol(row.protocol))
    }
}

fn update(row: Uuid, owner: &str, install: &str, change: &LbChange) -> Update {
    let mut update = Update::row(BALANCER, row).filter(ours(owner, install));
    let LbChange { name, protocol: transport, vips, options, selection_fields, external_ids } =
        change;
    if let Some(name) = name {
        update = update.set("name", name);
    }
    if let Some(transport) = transport {
        update = update.set("protocol", &protocol(*transport));
    }
    if let Some(vips) = vips {
        update = update.set("vips", vips);
    }
    if let Some(options) = options {
        update = update.set("options", options);
    }
    if let Some(fields) = selection_fields {
        update = update.set("selection_fields", fields);
    }
    if let Some(ids) = external_ids {
        update = update.set("external_ids", ids);
    }
    update.expect_count(1)
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
