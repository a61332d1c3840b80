//! Random schedules: replicas that are slow, paused, killed and cut off, a server that executes
//! late what nobody waits for any more. Whatever happens, no two believe to lead; and when the
//! trouble ends, one does.

use proptest::prelude::*;

use super::*;

const REPLICAS: usize = 3;

/// One thing that happens, to one replica.
#[derive(Clone, Debug)]
enum Happening {
    /// It runs undisturbed: a call if one is due, and its answer.
    Turn,
    /// It runs: gives out a call if one is due.
    Run,
    /// The server executes its oldest request; whether the answer is on its way.
    Execute,
    /// It takes in its answer.
    Answer,
    /// Its call takes too long, and may be executed later all the same.
    Timeout,
    /// The watch tells it of what the server has.
    Tell,
    Fit(bool),
    /// It is killed, and started again under the same name.
    Restart,
    /// It is told to stop, and started again when it is done.
    Stop,
    /// Somebody deletes the record.
    Delete,
    Milliseconds(u64),
}

fn happening() -> impl Strategy<Value = (usize, Happening)> {
    use Happening::*;
    let what = prop_oneof![
        20 => Just(Turn),
        12 => Just(Run),
        10 => Just(Execute),
        10 => Just(Answer),
        2 => Just(Timeout),
        4 => Just(Tell),
        2 => any::<bool>().prop_map(Fit),
        1 => Just(Restart),
        1 => Just(Stop),
        6 => (0_u64..3_000).prop_map(Milliseconds),
        4 => (5_000_u64..20_000).prop_map(Milliseconds),
    ];
    (0..REPLICAS, what)
}

struct Replica {
    election: Election,
    /// Requests on their way, oldest first, and whether anybody waits for the answer.
    requests: Vec<(Call, bool)>,
    answer: Option<Answer>,
}

struct Model {
    now: Duration,
    replicas: Vec<Replica>,
    stored: Option<Record>,
    version: u64,
    deletes: bool,
}

fn new(index: usize, now: Duration) -> Election {
    let mut election = Election::new(format!("replica-{index}"), timing());
    election.handle(Input::Fit(true), now);
    election
}

impl Model {
    fn new() -> Self {
        let replica =
            |index| Replica { election: new(index, ms(0)), requests: Vec::new(), answer: None };
        let replicas = (0..REPLICAS).map(replica).collect();
        Self { now: ms(0), replicas, stored: None, version: 0, deletes: false }
    }

    fn store(&mut self, claim: &Claim) -> Answer {
        self.version += 1;
        let record = Record {
            version: self.version.to_string(),
            holder: claim.holder.clone(),
            lease: Some(claim.lease),
            acquired: None,
            transitions: claim.transitions,
        };
        self.stored = Some(record.clone());
        Answer::Written(record)
    }

    fn execute(&mut self, call: &Call) -> Answer {
        match (call, &self.stored) {
            (Call::Read, stored) => Answer::Read(stored.clone()),
            (Call::Create(claim), None) => self.store(claim),
            (Call::Replace { version, claim }, Some(stored)) if stored.version == *version => {
                self.store(claim)
            }
            (Call::Create(_) | Call::Replace { .. }, _) => Answer::Conflict,
        }
    }

    fn happen(&mut self, at: usize, what: &Happening) {
        let now = self.now;
        match what {
            Happening::Turn => {
                for what in [Happening::Run, Happening::Execute, Happening::Answer] {
                    self.happen(at, &what);
                }
            }
            Happening::Run => {
                let replica = &mut self.replicas[at];
                if let Some(call) = replica.election.poll_call(now) {
                    replica.requests.push((call, true));
                }
            }
            Happening::Execute => {
                if self.replicas[at].requests.is_empty() {
                    return;
                }
                let (call, awaited) = self.replicas[at].requests.remove(0);
                let answer = self.execute(&call);
                if awaited {
                    self.replicas[at].answer = Some(answer);
                }
            }
            Happening::Answer => {
                if let Some(answer) = self.replicas[at].answer.take() {
                    self.replicas[at].election.handle(Input::Ended(answer), now);
                }
            }
            Happening::Timeout => {
                let replica = &mut self.replicas[at];
                replica.answer = None;
                replica.requests.iter_mut().for_each(|(_, awaited)| *awaited = false);
                replica.election.handle(Input::Ended(Answer::Failed), now);
            }
            Happening::Tell => {
                let version = self.stored.as_ref().map(|stored| stored.version.clone());
                self.replicas[at].election.handle(Input::Told(version), now);
            }
            Happening::Fit(fit) => self.replicas[at].election.handle(Input::Fit(*fit), now),
            Happening::Restart => self.restart(at),
            Happening::Stop => {
                self.replicas[at].election.handle(Input::Stop, now);
            }
            Happening::Delete => {
                self.deletes = true;
                self.stored = None;
            }
            Happening::Milliseconds(passed) => self.now += ms(*passed),
        }
        if self.replicas[at].election.done() {
            self.restart(at);
        }
    }

    /// Another process of the name; what the former one sent may be executed still.
    fn restart(&mut self, at: usize) {
        let now = self.now;
        let replica = &mut self.replicas[at];
        replica.election = new(at, now);
        replica.answer = None;
        replica.requests.iter_mut().for_each(|(_, awaited)| *awaited = false);
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |at: &usize| self.replicas[*at].election.term(self.now).is_some();
        (0..REPLICAS).filter(leads).collect()
    }

    /// Everything works, for a while.
    fn calm(&mut self) {
        for at in 0..REPLICAS {
            self.happen(at, &Happening::Fit(true));
        }
        for _ in 0..400 {
            for at in 0..REPLICAS {
                for what in [Happening::Run, Happening::Execute, Happening::Answer] {
                    self.happen(at, &what);
                }
                assert!(self.leaders().len() <= 1);
            }
            self.now += ms(100);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_believe_to_lead_and_in_the_end_one_does(
        happenings in prop::collection::vec(happening(), 0..400),
    ) {
        let mut model = Model::new();
        for (at, what) in happenings {
            model.happen(at, &what);
            prop_assert!(model.leaders().len() <= 1, "{:?} lead after {what:?} at {at}", model.leaders());
        }
        model.calm();
        prop_assert_eq!(model.leaders().len(), 1);
    }

    #[test]
    fn who_leads_has_a_record_that_no_other_may_take_yet(
        happenings in prop::collection::vec(happening(), 0..400),
    ) {
        let mut model = Model::new();
        for (at, what) in happenings {
            model.happen(at, &what);
            for leader in model.leaders() {
                for (other, replica) in model.replicas.iter().enumerate() {
                    let Some(Some(seen)) = &replica.election.seen else { continue };
                    let stored = model.stored.as_ref().map(|stored| &stored.version);
                    let up_to_date = Some(&seen.version) == stored;
                    if other != leader && up_to_date {
                        prop_assert!(replica.election.free_at > model.now);
                    }
                }
            }
        }
    }
}

#[test]
fn a_deleted_record_makes_no_second_leader_among_those_that_knew_it() {
    let mut model = Model::new();
    model.calm();
    let leader = model.leaders();
    model.happen(0, &Happening::Delete);
    for at in 0..REPLICAS {
        model.happen(at, &Happening::Tell);
    }
    model.calm();
    assert_eq!(model.leaders(), leader);
}
