use proptest::prelude::*;

use super::*;

const GOOD: bool = true;
const BAD: bool = false;

fn target(last: u8) -> Target {
    Target { machine: IpAddr::from([10, 205, 0, last]), port: 10_256 }
}

fn targets(last: impl IntoIterator<Item = u8>) -> BTreeSet<Target> {
    last.into_iter().map(target).collect()
}

fn answer(good: bool) -> Answer {
    if good { Answer::Healthy } else { Answer::Unhealthy("answered 503".to_owned()) }
}

/// Machines that are asked together, a round after the other: who is out after each.
#[derive(Default)]
struct Rounds {
    health: Health,
    now: Duration,
    out: BTreeSet<Target>,
}

impl Rounds {
    fn round(&mut self, answers: &[(u8, bool)]) -> BTreeSet<Target> {
        let asked: BTreeSet<Target> = self.health.poll(self.now).into_iter().collect();
        assert_eq!(asked, targets(answers.iter().map(|(last, _)| *last)), "they are asked");
        assert_eq!(self.health.poll(self.now), [], "once");
        for (last, good) in answers {
            assert_eq!(self.health.take_changed(), None, "before all were heard");
            self.health.hear(target(*last), answer(*good));
        }
        self.now = self.health.deadline().unwrap();
        let failing = self.health.take_changed();
        assert_eq!(self.health.take_changed(), None, "it is told once");
        if let Some(failing) = failing {
            let out = failing.into_keys().collect();
            self.out = out;
        }
        self.out.clone()
    }
}

/// A machine that answers so, a round after the other; whether it is out each time.
fn heard(answers: &[bool]) -> Vec<bool> {
    let mut rounds = Rounds::default();
    rounds.health.set(&targets([1]));
    answers.iter().map(|good| rounds.round(&[(1, *good)]).contains(&target(1))).collect()
}

#[test]
fn the_first_answer_decides_and_then_several_in_a_row_do() {
    let (is_in, is_out) = (false, true);
    let table: [(&[bool], &[bool]); 6] = [
        (&[GOOD], &[is_in]),
        (&[BAD], &[is_out]),
        (&[GOOD, BAD, BAD, BAD], &[is_in, is_in, is_in, is_out]),
        (&[GOOD, BAD, BAD, GOOD, BAD, BAD], &[is_in; 6]),
        (&[BAD, GOOD, GOOD], &[is_out, is_out, is_in]),
        (&[BAD, GOOD, BAD, GOOD, BAD], &[is_out; 5]),
    ];
    for (answers, expected) in table {
        assert_eq!(heard(answers), expected, "{answers:?}");
    }
}

#[test]
fn machines_that_come_back_together_are_taken_in_together() {
    let mut rounds = Rounds::default();
    rounds.health.set(&targets([1, 2]));
    assert_eq!(rounds.round(&[(1, BAD), (2, BAD)]), targets([1, 2]));
    assert_eq!(rounds.round(&[(1, GOOD), (2, GOOD)]), targets([1, 2]));
    // `Rounds` sees to it that the first of them is not told alone.
    assert_eq!(rounds.round(&[(1, GOOD), (2, GOOD)]), targets([]));
}

#[test]
fn a_round_begins_after_the_interval_and_not_all_are_asked_at_a_time() {
    let mut health = Health::default();
    let all = targets(1..=200);
    health.set(&all);
    let first = health.poll(Duration::ZERO);
    assert_eq!(first.len(), AT_A_TIME);
    assert_eq!((health.deadline(), health.poll(Duration::ZERO)), (None, vec![]), "no room");
    first.iter().for_each(|target| health.hear(*target, Answer::Healthy));
    let mut asked: BTreeSet<Target> = first.into_iter().collect();
    while health.deadline() == Some(Duration::ZERO) {
        for target in health.poll(Duration::ZERO) {
            assert!(asked.insert(target), "{target:?} is asked twice before others once");
            health.hear(target, Answer::Healthy);
        }
    }
    assert_eq!((asked, health.deadline()), (all, Some(INTERVAL)));
    assert_eq!(health.poll(INTERVAL - Duration::from_millis(1)), []);
    assert_eq!(health.poll(INTERVAL).len(), AT_A_TIME);
}

#[test]
fn what_is_known_stays_while_a_machine_is_asked_and_goes_with_it() {
    let mut rounds = Rounds::default();
    rounds.health.set(&targets([1, 2]));
    assert_eq!(rounds.round(&[(1, BAD), (2, GOOD)]), targets([1]));
    rounds.health.set(&targets([1, 3]));
    assert_eq!(rounds.health.take_changed(), None, "one that was in is gone");
    rounds.now = Duration::ZERO;
    assert_eq!(rounds.round(&[(3, GOOD)]), targets([1]), "who comes is asked at once");
    rounds.health.hear(target(2), answer(BAD));
    assert_eq!(rounds.health.take_changed(), None, "nobody asks it any more");
    rounds.health.set(&targets([3]));
    assert_eq!(rounds.health.take_changed(), Some(Failing::new()));
    rounds.health.set(&targets([]));
    assert_eq!((rounds.health.deadline(), rounds.health.poll(INTERVAL)), (None, vec![]));
}

#[test]
fn why_a_machine_is_out_is_what_it_answered_last() {
    let mut health = Health::default();
    health.set(&targets([1]));
    health.hear(target(1), answer(BAD));
    health.hear(target(1), Answer::Unhealthy("no answer".to_owned()));
    assert_eq!(health.take_changed(), Some([(target(1), "no answer".to_owned())].into()));
}

fn kept_of(machines: &[u8], out: &[u8]) -> Vec<u8> {
    let failing: Failing = out.iter().map(|last| (target(*last), String::new())).collect();
    let machines = Arc::new(machines.iter().copied().collect());
    let address = |last: &u8| target(*last).machine;
    kept(&machines, address, (10_256, &failing)).iter().copied().collect()
}

#[test]
fn machines_that_are_out_get_nothing_unless_all_are() {
    assert_eq!(kept_of(&[1, 2, 3], &[]), [1, 2, 3]);
    assert_eq!(kept_of(&[1, 2, 3], &[2, 9]), [1, 3]);
    assert_eq!(kept_of(&[1, 2], &[1, 2]), [1, 2]);
    assert_eq!(kept_of(&[], &[1]), []);
    let failing = [(target(1), String::new())].into();
    let kept = kept(&Arc::new([1].into()), |last: &u8| target(*last).machine, (30_000, &failing));
    assert_eq!(*kept, [1].into(), "it is out at another port");
}

proptest! {
    #[test]
    fn speakers_that_hear_the_same_at_last_come_to_the_same(
        before in prop::collection::vec(any::<bool>(), 0..20),
        other in prop::collection::vec(any::<bool>(), 0..20),
        last: bool,
    ) {
        let last = [last; FALL as usize];
        let of = |before: &[bool]| heard(&[before, &last].concat()).last().copied();
        prop_assert_eq!(of(&before), of(&other));
    }
}
