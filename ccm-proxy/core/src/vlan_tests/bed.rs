//! Some speakers on one link that may be cut.

use std::collections::VecDeque;

use super::*;

/// Some speakers on one link that may be cut, with what is under way.
pub(super) struct Bed {
    pub(super) speakers: BTreeMap<usize, Vlan>,
    /// In which part of the link each is; those of one part hear each other.
    pub(super) parts: BTreeMap<usize, usize>,
    pub(super) wire: VecDeque<(Duration, usize, Send)>,
    pub(super) now: Duration,
    pub(super) addresses: usize,
    /// Those whose interface is down.
    down: BTreeSet<usize>,
    /// Those who do not take part.
    out: BTreeSet<usize>,
    /// How often each address was given to another.
    given: BTreeMap<usize, u32>,
    /// All that each took in, and what it said for it.
    records: BTreeMap<usize, Record>,
}

struct Record {
    begun: Duration,
    handled: Vec<(Duration, Input, Vec<Send>)>,
}

impl Bed {
    pub(super) fn new(speakers: usize, addresses: usize) -> Self {
        let mut bed = Self {
            speakers: BTreeMap::new(),
            parts: (1..=speakers).map(|number| (number, 0)).collect(),
            wire: VecDeque::new(),
            now: ms(0),
            addresses,
            down: BTreeSet::new(),
            out: BTreeSet::new(),
            given: BTreeMap::new(),
            records: BTreeMap::new(),
        };
        (1..=speakers).for_each(|number| bed.start(number));
        bed
    }

    pub(super) fn start(&mut self, number: usize) {
        self.speakers.insert(number, speaker(number, self.now));
        self.records.insert(number, Record { begun: self.now, handled: Vec::new() });
        self.down.remove(&number);
        self.tell(number, Command::Members(self.members()));
        for address in 1..=self.addresses {
            let order = Order { announced: self.now > ms(0), ..self.order(address) };
            self.tell(number, Command::Order(eip(address), Some(order)));
        }
    }

    fn members(&self) -> BTreeMap<NodeName, Member> {
        let all = self.parts.keys().filter(|number| !self.out.contains(number));
        all.map(|number| member(*number)).collect()
    }

    fn order(&self, address: usize) -> Order {
        let given = self.given.get(&address).copied().unwrap_or_default();
        Order { uid: format!("uid{given}").into(), ..order(self.parts.keys().copied()) }
    }

    /// A speaker ends, and says so.
    pub(super) fn leave(&mut self, number: usize) {
        if self.speakers.contains_key(&number) {
            self.handle(number, Input::Leave);
            self.speakers.remove(&number);
        }
    }

    /// The interface of a speaker goes down, or comes up.
    pub(super) fn set_up(&mut self, number: usize, up: bool) {
        if self.speakers.contains_key(&number) {
            self.tell(number, Command::Interface(mac(number), up));
            if up {
                self.down.remove(&number)
            } else {
                self.down.insert(number)
            };
        }
    }

    /// All are told that a speaker takes part no more, or does.
    pub(super) fn take_in(&mut self, number: usize, is_in: bool) {
        if is_in {
            self.out.remove(&number)
        } else {
            self.out.insert(number)
        };
        let numbers: Vec<usize> = self.speakers.keys().copied().collect();
        for number in numbers {
            self.tell(number, Command::Members(self.members()));
        }
    }

    /// All are told that an address is another `Eip`'s.
    pub(super) fn give(&mut self, address: usize) {
        *self.given.entry(address).or_default() += 1;
        let numbers: Vec<usize> = self.speakers.keys().copied().collect();
        for number in numbers {
            self.tell(number, Command::Order(eip(address), Some(self.order(address))));
        }
    }

    /// Whether a speaker can announce.
    fn is_able(&self, number: usize) -> bool {
        !self.down.contains(&number) && !self.out.contains(&number)
    }

    /// Tells a speaker something.
    pub(super) fn tell(&mut self, number: usize, command: Command) {
        self.handle(number, Input::Command(command));
    }

    /// Hands something to a speaker, and what it says to the link.
    pub(super) fn handle(&mut self, number: usize, input: Input) {
        let said = self.speakers.get_mut(&number).unwrap().handle(input.clone(), self.now);
        let record = self.records.get_mut(&number).unwrap();
        record.handled.push((self.now, input, said.clone()));
        self.send(number, said);
    }

    /// What was recorded of each speaker that is there has another one say and do the same.
    pub(super) fn plays_again(&self) {
        for (number, vlan) in &self.speakers {
            let record = &self.records[number];
            let mut again = speaker(*number, record.begun);
            for (now, input, said) in &record.handled {
                assert_eq!(
                    again.handle(input.clone(), *now),
                    *said,
                    "{number} at {now:?}: {input:?}"
                );
            }
            again.take_changed();
            let mut vlan = vlan.clone();
            vlan.take_changed();
            assert_eq!(format!("{again:?}"), format!("{vlan:?}"), "{number}");
        }
    }

    /// Lets everybody run for a while.
    pub(super) fn run(&mut self, time: u64) {
        let end = self.now + ms(time);
        while self.now < end {
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, by, send)) = self.wire.pop_front() else { break };
                self.arrive(by, &send);
            }
            let numbers: Vec<usize> = self.speakers.keys().copied().collect();
            for number in numbers {
                let random = u8::try_from(self.now.as_millis() % 251).unwrap();
                self.handle(number, Input::Poll { random, room: true });
            }
            let due = self.speakers.values().filter_map(|vlan| vlan.deadline(true));
            let next = due.chain(self.wire.front().map(|(at, ..)| *at)).min().unwrap_or(end);
            self.now = next.max(self.now + ms(1)).min(end);
        }
    }

    fn send(&mut self, by: usize, said: Vec<Send>) {
        let at = self.now + ms(1);
        self.wire.extend(said.into_iter().map(|send| (at, by, send)));
    }

    fn arrive(&mut self, by: usize, send: &Send) {
        let part = self.parts.get(&by).copied();
        let numbers: Vec<usize> = self.speakers.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| *number != by) {
            if self.parts.get(&number).copied() != part {
                continue;
            }
            match send {
                Send::Frame(frame) => self.handle(number, Input::Frame(frame.clone())),
                Send::Bfd(to, payload) if *to == bfd_address(number) => {
                    let (from, payload) = (bfd_address(by), payload.clone());
                    self.handle(number, Input::Bfd { from, ttl: 255, payload });
                }
                Send::Bfd(..) => {}
            }
        }
    }

    /// Who announces an address, of those in one part.
    pub(super) fn owners(&self, address: usize, part: usize) -> Vec<usize> {
        let there =
            self.speakers.iter().filter(|(number, _)| self.parts.get(number) == Some(&part));
        let announces = there.filter(|(_, vlan)| announces(vlan.standing(eip(address))));
        announces.map(|(number, _)| *number).collect()
    }

    /// Whether all who hear each other know it, and nobody else.
    pub(super) fn agree(&self) -> bool {
        self.speakers.iter().all(|(number, vlan)| {
            let part = self.parts.get(number);
            vlan.peers().all(|(node, liveness)| {
                let other = self.speakers.keys().find(|other| self::node(**other) == *node);
                let hears = other.is_some_and(|other| {
                    let able = self.is_able(*number) && self.is_able(*other);
                    able && self.parts.get(other) == part
                });
                hears == (liveness.state == crate::bfd::State::Up)
            })
        })
    }

    /// Runs, and looks at each moment in which all have agreed for a while.
    pub(super) fn run_and_watch(&mut self, time: u64) {
        let mut agreed = 0;
        for _ in 0..time {
            self.run(1);
            agreed = if self.agree() { agreed + 1 } else { 0 };
            if agreed > 3 {
                let parts: BTreeSet<usize> = self.parts.values().copied().collect();
                for (part, address) in
                    parts.into_iter().flat_map(|part| (1..=self.addresses).map(move |a| (part, a)))
                {
                    let owners = self.owners(address, part);
                    assert!(owners.len() <= 1, "{address} in part {part}: {owners:?}");
                }
            }
        }
    }

    pub(super) fn exactly_one_each(&self, why: &str) {
        let able = self.speakers.keys().filter(|number| self.is_able(**number));
        let parts: BTreeSet<usize> =
            able.filter_map(|number| self.parts.get(number)).copied().collect();
        for part in parts {
            for address in 1..=self.addresses {
                let owners = self.owners(address, part);
                assert_eq!(owners.len(), 1, "{why}: {address} in part {part}: {owners:?}");
            }
        }
    }
}
