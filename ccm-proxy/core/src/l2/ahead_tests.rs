use proptest::prelude::*;

use super::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, last])
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ahead(addresses: &[u8], now: Duration) -> Ahead {
    let mut ahead = Ahead::default();
    ahead.set(&addresses.iter().copied().map(ip).collect(), now);
    ahead
}

/// What is asked until a moment, and when.
fn asked(ahead: &mut Ahead, until: Duration) -> Vec<(u128, IpAddr)> {
    let mut all = Vec::new();
    while let Some(due) = ahead.deadline().filter(|due| *due <= until) {
        while let Some(address) = ahead.poll(due) {
            all.push((due.as_millis(), address));
        }
    }
    all
}

#[test]
fn an_address_counts_as_free_once_three_questions_had_no_answer() {
    let mut ahead = ahead(&[9], ms(0));
    assert_eq!(asked(&mut ahead, ms(199)), [(0, ip(9)), (50, ip(9)), (100, ip(9))]);
    assert!(!ahead.is_free(ip(9), ms(199)), "an answer to the last may come");
    assert_eq!(asked(&mut ahead, ms(200)), []);
    assert!(ahead.is_free(ip(9), ms(200)));
    assert!(!ahead.is_free(ip(8), ms(200)), "nothing is known of another");
}

#[test]
fn what_is_free_is_asked_for_once_more_before_it_counts_no_longer() {
    let mut ahead = ahead(&[9], ms(0));
    asked(&mut ahead, ms(200));
    let mut rounds = 0;
    for second in 1..300 {
        let again = asked(&mut ahead, s(second));
        assert!(again.len() <= 1, "one question is enough");
        rounds += again.len();
        assert!(ahead.is_free(ip(9), s(second)), "{second}");
    }
    assert!((12..=17).contains(&rounds), "{rounds}");
}

#[test]
fn what_nobody_asked_for_in_time_is_not_free_and_asked_for_anew() {
    let mut ahead = ahead(&[9], ms(0));
    asked(&mut ahead, ms(200));
    assert!(ahead.is_free(ip(9), ms(30_199)) && !ahead.is_free(ip(9), ms(30_200)));
    assert_eq!(ahead.poll(s(60)), Some(ip(9)));
    assert!(!ahead.is_free(ip(9), s(60)));
    assert_eq!(asked(&mut ahead, s(61)).len(), 2);
    assert!(ahead.is_free(ip(9), s(61)));
}

#[test]
fn a_claim_voids_it_in_every_state() {
    for (at, what) in [(10, "asking"), (500, "free"), (22_600, "renewing")] {
        let mut ahead = ahead(&[9], ms(0));
        asked(&mut ahead, ms(at));
        if what == "renewing" {
            let due = ahead.deadline().unwrap();
            ahead.poll(due);
        }
        assert!(ahead.claimed(ip(9), ms(at)), "{what}");
        assert!(!ahead.is_free(ip(9), ms(at)), "{what}");
        assert_eq!(asked(&mut ahead, ms(at + 29_999)), [], "{what}");
        assert!(ahead.claimed(ip(9), ms(at + 10_000)), "it is taken still: {what}");
        assert_eq!(asked(&mut ahead, ms(at + 40_500)).len(), 3, "{what}");
        assert!(ahead.is_free(ip(9), ms(at + 40_500)), "{what}");
    }
    assert!(!ahead(&[9], ms(0)).claimed(ip(8), ms(0)), "that is none of these");
}

#[test]
fn what_is_known_stays_while_it_is_to_be_asked_for() {
    let mut ahead = ahead(&[8, 9], ms(0));
    asked(&mut ahead, ms(200));
    ahead.set(&[ip(9), ip(10)].into(), s(1));
    assert!(ahead.is_free(ip(9), s(1)) && !ahead.is_free(ip(8), s(1)));
    assert_eq!(ahead.poll(s(1)), Some(ip(10)));
    ahead.begin_again(s(2));
    assert!(!ahead.is_free(ip(9), s(2)));
    ahead.set(&BTreeSet::new(), s(3));
    assert_eq!((ahead.deadline(), ahead.poll(s(100))), (None, None));
}

proptest! {
    /// Whatever happens in whatever order, an address counts as free only if there were three
    /// questions after the last claim, or one after it was free, and none of it is too long ago.
    #[test]
    fn nothing_is_free_that_was_not_asked_for_in_vain(
        steps in prop::collection::vec((0_u8..8, 1_u64..25_000), 1..200),
    ) {
        let mut ahead = ahead(&[9], ms(0));
        let mut now = ms(0);
        let (mut questions, mut last) = (0, None);
        for (step, wait) in steps {
            now += ms(if step < 5 { wait % 120 } else { wait });
            match step {
                6 => {
                    ahead.claimed(ip(9), now);
                    questions = 0;
                }
                7 => {
                    ahead.begin_again(now);
                    questions = 0;
                }
                _ => {
                    if ahead.poll(now).is_some() {
                        questions += 1;
                        last = Some(now);
                    }
                }
            }
            if ahead.is_free(ip(9), now) {
                let last = last.unwrap();
                prop_assert!(questions >= 3);
                prop_assert!(now < last + PROBE_WAIT + FREE_FOR + s(25), "{now:?} {last:?}");
            }
            prop_assert_eq!(ahead.due.len(), 1);
        }
    }
}
