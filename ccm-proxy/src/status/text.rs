//! The status as a person reads it.

use std::fmt::Write as _;

use super::{Status, Vlan};

/// The whole of it.
pub(super) fn of(status: &Status) -> String {
    let mut text = format!("speaker of node {}\n", status.node);
    if !status.complete {
        text.push_str("not all was read from the API server yet: nothing is changed before\n");
    }
    if status.vlans.is_empty() && status.complete {
        text.push_str("no VLAN is connected to this node\n");
    }
    for (name, vlan) in &status.vlans {
        let _ = writeln!(text, "\nVLAN {name}: {}", vlan.state);
        text.push_str(&of_vlan(vlan));
    }
    text
}

fn of_vlan(vlan: &Vlan) -> String {
    let mut text = String::new();
    for message in &vlan.messages {
        let _ = writeln!(text, "  ! {message}");
    }
    let mac = vlan.mac.as_deref().unwrap_or("-");
    let _ = writeln!(
        text,
        "  interface {}, namespace {}, Ethernet address {mac}",
        vlan.interface, vlan.namespace
    );
    let members = vlan.members.iter().map(|(node, state)| [node.clone(), state.clone()]);
    text.push_str(&table(["SPEAKER", "STATE"], members));
    let addresses = vlan.addresses.iter();
    let addresses =
        addresses.map(|(address, is)| [address.clone(), is.state.clone(), is.message.clone()]);
    text.push_str(&table(["ADDRESS", "STATE", "WHY"], addresses));
    let machines = vlan.machines.iter().map(|(machine, why)| [machine.clone(), why.clone()]);
    text.push_str(&table(["MACHINE OUT", "WHY"], machines));
    let drops = vlan.drops.iter().map(|(why, count)| [why.clone(), count.to_string()]);
    text.push_str(&table(["DROPPED", "COUNT"], drops));
    text
}

/// Lines whose cells stand below each other; without any there is no head.
fn table<const N: usize>(head: [&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let lines: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(lines).collect();
    if lines.len() == 1 {
        return String::new();
    }
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Address;
    use super::*;

    #[test]
    fn an_operator_sees_who_announces_what_and_why_not() {
        let address = |state: &str, message: &str| Address {
            state: state.to_owned(),
            message: message.to_owned(),
        };
        let vlan = Vlan {
            interface: "eth0".to_owned(),
            namespace: "cpo-a".to_owned(),
            state: "Running".to_owned(),
            mac: Some("02:00:00:00:00:01".to_owned()),
            members: [("n1", "Us"), ("node2", "Up")]
                .map(|(node, state)| (node.to_owned(), state.to_owned()))
                .into(),
            addresses: [
                ("10.205.0.50".to_owned(), address("Announced", "")),
                ("10.205.0.51".to_owned(), address("Silent", "node2 is elected to announce it")),
            ]
            .into(),
            machines: [("10.205.0.1:10256".to_owned(), "answered 503".to_owned())].into(),
            ..Vlan::default()
        };
        let failed = Vlan {
            state: "Failed".to_owned(),
            messages: vec!["there is no interface eth1 on this node".to_owned()],
            interface: "eth1".to_owned(),
            namespace: "cpo-b".to_owned(),
            ..Vlan::default()
        };
        let vlans = [("a".to_owned(), vlan), ("b".to_owned(), failed)].into();
        let text = of(&Status { node: "n1".to_owned(), complete: true, vlans });
        let expected = "\
speaker of node n1

VLAN a: Running
  interface eth0, namespace cpo-a, Ethernet address 02:00:00:00:00:01
  SPEAKER   STATE
  n1        Us
  node2     Up
  ADDRESS       STATE       WHY
  10.205.0.50   Announced
  10.205.0.51   Silent      node2 is elected to announce it
  MACHINE OUT        WHY
  10.205.0.1:10256   answered 503

VLAN b: Failed
  ! there is no interface eth1 on this node
  interface eth1, namespace cpo-b, Ethernet address -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_speaker_that_could_not_read_all_says_so() {
        let text = of(&Status { node: "n1".to_owned(), ..Status::default() });
        assert!(text.contains("not all was read"), "{text}");
    }
}
