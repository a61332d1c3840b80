use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn mac(last: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, last]).unwrap()
}

fn ip() -> IpAddr {
    "198.51.100.9".parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn order(role: Role) -> Order {
    Order { role, refresh: MINUTE }
}

const fn fresh(mac: MacAddress) -> Role {
    Role::Announce { mac, fresh: true }
}

const fn taken_over(mac: MacAddress) -> Role {
    Role::Announce { mac, fresh: false }
}

/// What is said until a moment, and when.
fn said(address: &mut Address, until: Duration) -> Vec<(u64, Say)> {
    let mut all = Vec::new();
    while let Some(due) = address.due().filter(|due| *due <= until) {
        let say = address.act(ip(), due);
        if say != Say::Nothing {
            all.push((u64::try_from(due.as_millis()).unwrap(), say));
        }
    }
    all
}

#[test]
fn a_new_address_is_probed_three_times_and_then_announced() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    assert_eq!(address.standing(), Standing::Probing);
    let asked = [0, 50, 100].map(|at| (at, Say::Ask));
    assert_eq!(said(&mut address, ms(199)), asked);
    assert_eq!(address.claim(ip()), None, "no question is answered meanwhile");
    assert_eq!(said(&mut address, ms(200)), [(200, Say::Announce(mac(1)))]);
    assert_eq!(address.claim(ip()), Some(Claim { address: ip(), mac: mac(1) }));
}

#[test]
fn a_probe_that_is_late_waits_for_answers_all_the_same() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    for at in [1_000, 1_050, 1_100] {
        assert_eq!(address.act(ip(), ms(at)), Say::Ask);
    }
    assert_eq!(address.act(ip(), ms(1_199)), Say::Nothing);
    assert_eq!(address.act(ip(), ms(1_200)), Say::Announce(mac(1)));
}

#[test]
fn a_take_over_is_told_at_once_five_times_and_then_now_and_again() {
    let mut address = Address::new(order(taken_over(mac(1))), ms(0));
    let told = [0, 1_100, 2_200, 3_300, 4_400].map(|at| (at, Say::Announce(mac(1))));
    assert_eq!(said(&mut address, ms(6_000)), told);
    let later = said(&mut address, ms(604_400));
    let times: Vec<u64> = [4_400].into_iter().chain(later.iter().map(|(at, _)| *at)).collect();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 8 && gaps.iter().all(|gap| (52_500..=67_500).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().collect::<BTreeSet<_>>().len() > 4, "not in step with others: {gaps:?}");
}

#[test]
fn what_somebody_else_has_is_left_to_him_and_asked_for_again() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    address.act(ip(), ms(0));
    assert_eq!(address.claimed(mac(9), ms(10)), Say::Nothing);
    assert_eq!(address.standing(), Standing::Conflict { with: mac(9) });
    assert_eq!(said(&mut address, ms(30_009)), []);
    assert_eq!(address.claimed(mac(8), ms(30_009)), Say::Nothing);
    assert_eq!(address.standing(), Standing::Conflict { with: mac(9) }, "the first one is named");
    let again = [30_010, 30_060, 30_110].map(|at| (at, Say::Ask));
    assert_eq!(said(&mut address, ms(30_209)), again);
    assert_eq!(said(&mut address, ms(30_210)), [(30_210, Say::Announce(mac(1)))]);
}

#[test]
fn what_somebody_else_has_is_probed_again_whoever_was_elected_meanwhile() {
    let mut address = Address::new(order(taken_over(mac(1))), ms(0));
    address.ask_once_more(ms(0));
    said(&mut address, ms(10));
    address.claimed(mac(9), ms(20));
    assert_eq!(address.standing(), Standing::Conflict { with: mac(9) });
    address.set(order(Role::Silent), ms(30));
    address.set(order(fresh(mac(1))), ms(40));
    assert_eq!(address.standing(), Standing::Probing);
}

#[test]
fn a_flood_of_claims_by_many_interfaces_names_the_first_until_it_ends() {
    let mut address = Address::new(order(taken_over(mac(1))), ms(0));
    said(&mut address, ms(5_000));
    let contested = |by| Standing::Announcing(Announced { mac: mac(1), contested: by });
    for number in 0..200 {
        let by = mac(u8::try_from(number % 100).unwrap() + 2);
        address.claimed(by, ms(5_000 + number * 1_000));
        said(&mut address, ms(5_000 + number * 1_000));
        assert_eq!(address.standing(), contested(Some(mac(2))));
    }
    said(&mut address, ms(204_000 + 120_000));
    assert_eq!(address.standing(), contested(None));
    address.claimed(mac(7), ms(330_000));
    assert_eq!(address.standing(), contested(Some(mac(7))));
}

#[test]
fn who_claims_an_announced_address_is_told_off_now_and_again_and_named_for_a_while() {
    let mut address = Address::new(order(taken_over(mac(1))), ms(0));
    said(&mut address, ms(5_000));
    let contested = |by| Standing::Announcing(Announced { mac: mac(1), contested: by });
    assert_eq!(address.claimed(mac(9), ms(5_000)), Say::Announce(mac(1)));
    assert_eq!(address.claimed(mac(9), ms(14_999)), Say::Nothing);
    assert_eq!(address.claimed(mac(9), ms(15_000)), Say::Announce(mac(1)));
    assert_eq!(address.standing(), contested(Some(mac(9))));
    said(&mut address, ms(134_999));
    assert_eq!(address.standing(), contested(Some(mac(9))));
    said(&mut address, ms(135_000));
    assert_eq!(address.standing(), contested(None));
    assert_eq!(address.claimed(mac(1), ms(140_000)), Say::Nothing, "whom it leads to may say so");
    assert_eq!(address.standing(), contested(None));
}

/// Each state, and each order: what becomes of it.
#[test]
fn an_order_leads_from_each_state_to_these() {
    let probing = || Address::new(order(fresh(mac(1))), ms(0));
    let announcing = || Address::new(order(taken_over(mac(1))), ms(0));
    let conflict = || {
        let mut address = probing();
        address.claimed(mac(9), ms(0));
        address
    };
    let silent = || Address::new(order(Role::Silent), ms(0));
    let told = |mac| Standing::Announcing(Announced { mac, contested: None });
    let (asks, lost) = (Standing::Probing, Standing::Conflict { with: mac(9) });
    let orders =
        [Role::Silent, fresh(mac(1)), taken_over(mac(1)), fresh(mac(2)), taken_over(mac(2))];
    let table: [(&dyn Fn() -> Address, [Standing; 5]); 4] = [
        (&silent, [Standing::Silent, asks, told(mac(1)), asks, told(mac(2))]),
        (&probing, [Standing::Silent, asks, asks, asks, told(mac(2))]),
        (&conflict, [Standing::Silent, lost, lost, asks, told(mac(2))]),
        (&announcing, [Standing::Silent, told(mac(1)), told(mac(1)), told(mac(2)), told(mac(2))]),
    ];
    for (from, expected) in table {
        for (role, to) in orders.into_iter().zip(expected) {
            let mut address = from();
            let before = address.standing();
            address.set(order(role), ms(10));
            assert_eq!(address.standing(), to, "from {before:?} by {role:?}");
        }
    }
}

#[test]
fn what_we_announced_before_is_not_probed_again() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    said(&mut address, ms(200));
    address.set(order(Role::Silent), ms(300));
    address.set(order(fresh(mac(1))), ms(400));
    let announced = Announced { mac: mac(1), contested: None };
    assert_eq!(address.standing(), Standing::Announcing(announced));
}

#[test]
fn a_probe_goes_on_when_the_address_is_to_lead_elsewhere() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    address.act(ip(), ms(0));
    address.set(order(fresh(mac(2))), ms(20));
    assert_eq!(address.claimed(mac(2), ms(30)), Say::Nothing, "whom it leads to may say so");
    let then = [(50, Say::Ask), (100, Say::Ask), (200, Say::Announce(mac(2)))];
    assert_eq!(said(&mut address, ms(200)), then);
}

#[test]
fn an_order_that_is_repeated_disturbs_nothing() {
    let mut address = Address::new(order(fresh(mac(1))), ms(0));
    address.act(ip(), ms(0));
    let due = address.due();
    address.set(order(fresh(mac(1))), ms(20));
    assert_eq!((address.due(), address.standing()), (due, Standing::Probing));
}

#[test]
fn a_link_that_came_back_hears_it_all_again() {
    let mut address = Address::new(order(taken_over(mac(1))), ms(0));
    said(&mut address, ms(5_000));
    address.announce_again(ms(10_000));
    let told = [10_000, 11_100].map(|at| (at, Say::Announce(mac(1))));
    assert_eq!(said(&mut address, ms(12_000)), told);
}
