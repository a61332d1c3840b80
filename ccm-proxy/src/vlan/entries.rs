//! What is said of addresses, by how the speaker stands.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ccm_proxy::speaker::Stands;
use cpo_api::AnnouncementState;
use speaker_core::l2::Standing;
use speaker_core::node::NodeName;
use speaker_core::order::Order;
use speaker_core::world::Part;

use crate::input::Entry;

/// What is to be said of each address that nobody announces, and that we cannot announce.
pub(super) fn unable(part: &Part, us: &NodeName, why: &str) -> BTreeMap<IpAddr, Entry> {
    let ours = part.orders.iter().filter(|(_, order)| !order.announced && order.nodes.contains(us));
    let entry = |(address, order): (&IpAddr, &Order)| {
        let (uid, state) = (order.uid.clone(), AnnouncementState::Unable);
        (*address, Entry { uid, state, message: why.to_owned() })
    };
    ours.map(entry).collect()
}

/// What is to be said of each address, where this was said before.
pub(super) fn entries(stands: &Stands, said: &BTreeMap<IpAddr, Entry>) -> BTreeMap<IpAddr, Entry> {
    let entry = |(address, standing): (&IpAddr, &Standing)| {
        let (state, by) = match standing {
            Standing::Silent => return None,
            // While it is asked whether a conflict is over, it is not.
            Standing::Probing => {
                let said = said.get(address).filter(|said| {
                    said.state == AnnouncementState::Conflict
                        && stands.uids.get(address) == Some(&said.uid)
                });
                return said.map(|said| (*address, said.clone()));
            }
            Standing::Conflict { with } => (AnnouncementState::Conflict, Some(with)),
            Standing::Announcing(announced) => match &announced.contested {
                Some(by) => (AnnouncementState::Contested, Some(by)),
                None => (AnnouncementState::Announced, None),
            },
        };
        let message = by.map(|by| format!("answered by {by}")).unwrap_or_default();
        let uid = stands.uids.get(address)?.clone();
        Some((*address, Entry { uid, state, message }))
    };
    stands.addresses.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use speaker_core::l2::Announced;
    use speaker_core::mac::MacAddress;
    use speaker_core::order::Delivery;
    use speaker_core::world::Connection;

    use super::*;

    #[test]
    fn each_standing_is_said_as_it_is_and_only_of_the_eip_it_is_for() {
        let mac = |last| MacAddress::new([2, 0, 0, 0, 0, last]).unwrap();
        let announcing = |contested| Standing::Announcing(Announced { mac: mac(1), contested });
        let standings = [
            (Standing::Silent, None),
            (Standing::Probing, None),
            (announcing(None), Some((AnnouncementState::Announced, ""))),
            (
                announcing(Some(mac(2))),
                Some((AnnouncementState::Contested, "answered by 02:00:00:00:00:02")),
            ),
            (
                Standing::Conflict { with: mac(3) },
                Some((AnnouncementState::Conflict, "answered by 02:00:00:00:00:03")),
            ),
        ];
        let address: IpAddr = "10.205.0.50".parse().unwrap();
        for (standing, expected) in standings {
            let mut stands = Stands::default();
            stands.addresses.insert(address, standing);
            assert_eq!(
                entries(&stands, &BTreeMap::new()),
                BTreeMap::new(),
                "of no Eip: {standing:?}"
            );
            stands.uids.insert(address, "u1".into());
            let said = entries(&stands, &BTreeMap::new()).remove(&address);
            let said = said.as_ref().map(|entry| (entry.state, entry.message.as_str()));
            assert_eq!(said, expected, "{standing:?}");
        }
    }

    #[test]
    fn why_nothing_can_be_announced_is_said_of_what_nobody_announces() {
        let us: NodeName = "n1".parse().unwrap();
        let order = |uid: &str, node: &str, announced| Order {
            uid: uid.into(),
            delivery: Delivery::Local { nodes: BTreeSet::new() },
            nodes: Arc::new([node.parse().unwrap()].into()),
            refresh: Duration::from_secs(60),
            announced,
        };
        let mut part = Part::new(Connection::default());
        let address = |last| IpAddr::from([10, 205, 0, last]);
        part.orders.insert(address(1), order("u1", "n1", false));
        part.orders.insert(address(2), order("u2", "n1", true));
        part.orders.insert(address(3), order("u3", "n2", false));
        let said = unable(&part, &us, "there is no interface eth7 on node n1");
        let expected = Entry {
            uid: "u1".into(),
            state: AnnouncementState::Unable,
            message: "there is no interface eth7 on node n1".to_owned(),
        };
        assert_eq!(said, [(address(1), expected)].into());
    }

    #[test]
    fn a_conflict_is_said_until_it_is_known_to_be_over() {
        let address: IpAddr = "10.205.0.50".parse().unwrap();
        let mut stands = Stands::default();
        stands.uids.insert(address, "u1".into());
        let mut stand = |standing, said: &BTreeMap<IpAddr, Entry>| {
            stands.addresses.insert(address, standing);
            entries(&stands, said)
        };
        let with = MacAddress::new([2, 0, 0, 0, 0, 3]).unwrap();
        let conflict = stand(Standing::Conflict { with }, &BTreeMap::new());
        assert_eq!(stand(Standing::Probing, &conflict), conflict);
        let over = Announced { mac: with, contested: None };
        let announced = stand(Standing::Announcing(over), &conflict);
        assert_eq!(announced[&address].state, AnnouncementState::Announced);
        assert_eq!(stand(Standing::Probing, &announced), BTreeMap::new());
        stands.uids.insert(address, "u2".into());
        assert_eq!(entries(&stands, &conflict), BTreeMap::new(), "of another Eip");
    }
}
