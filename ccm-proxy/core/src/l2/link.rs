//! Everything we say and hear on one link about addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::address::{Address, Order, Role, Say, Standing};
use super::ahead::Ahead;
use super::{Claim, Question, frame};
use crate::drop_reason::{DropReason, Drops};
use crate::mac::MacAddress;

/// The addresses on one link: [`Self::hear`] takes the frames that come in, [`Self::poll`] gives
/// those that are to go out.
#[derive(Clone, Debug)]
pub struct Link {
    us: MacAddress,
    /// The interfaces of the other speakers.
    peers: BTreeSet<MacAddress>,
    addresses: BTreeMap<IpAddr, Address>,
    /// Addresses that nobody is to announce yet.
    ahead: Ahead,
    /// When something is due.
    due: BTreeSet<(Duration, IpAddr)>,
    /// Addresses that stand otherwise than when this was asked last.
    changed: BTreeSet<IpAddr>,
    drops: Drops,
}

impl Link {
    /// A link on which we have this interface.
    #[must_use]
    pub fn new(us: MacAddress) -> Self {
        Self {
            us,
            peers: BTreeSet::new(),
            addresses: BTreeMap::new(),
            ahead: Ahead::default(),
            due: BTreeSet::new(),
            changed: BTreeSet::new(),
            drops: Drops::default(),
        }
    }

    /// Sets the interfaces of the other speakers: they may claim our addresses.
    pub fn set_peers(&mut self, peers: BTreeSet<MacAddress>) {
        self.peers = peers;
    }

    /// Sets the addresses of which it is asked ahead whether another host has them.
    pub fn ask_ahead(&mut self, addresses: &BTreeSet<IpAddr>, now: Duration) {
        self.ahead.set(addresses, now);
    }

    /// Sets what is to be done about an address. One that was asked ahead in vain is announced at
    /// once, and asked for once more meanwhile.
    pub fn order(&mut self, address: IpAddr, mut order: Order, now: Duration) {
        let mut asked_ahead = false;
        if let Role::Announce { fresh, .. } = &mut order.role {
            asked_ahead = *fresh && self.ahead.is_free(address, now);
            *fresh &= !asked_ahead;
            self.ahead.forget(address);
        }
        if self.alter(address, |known| known.set(order, now)).is_none() {
            let known = Address::new(order, now);
            self.due.extend(known.due().map(|due| (due, address)));
            self.addresses.insert(address, known);
            self.changed.insert(address);
        }
        if asked_ahead {
            self.alter(address, |known| known.ask_once_more(now));
        }
    }

    /// Has nothing to do with an address any more: from now on no question is answered.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(known) = self.addresses.remove(&address) {
            known.due().map(|due| self.due.remove(&(due, address)));
            self.changed.insert(address);
        }
    }

    /// The link came back, or our interface got another Ethernet address: all is announced anew.
    pub fn came_up(&mut self, us: MacAddress, now: Duration) {
        self.us = us;
        self.ahead.begin_again(now);
        for address in self.addresses.keys().copied().collect::<Vec<_>>() {
            self.announce_again(address, now);
        }
    }

    /// Somebody else may have been heard about an address: if it is announced, it is so anew.
    pub fn announce_again(&mut self, address: IpAddr, now: Duration) {
        self.alter(address, |known| known.announce_again(now));
    }

    /// Hears a frame; gives the answer, or what defends an address. What has no effect is counted.
    pub fn hear(&mut self, bytes: &[u8], now: Duration) -> Vec<Vec<u8>> {
        let heard = match frame::read(bytes, self.us) {
            Ok(heard) => heard,
            Err(reason) => {
                self.drops.count(reason);
                return Vec::new();
            }
        };
        let ours = heard.claim.and_then(|claim| self.claimed(heard.from, claim, now));
        let mut said = match (ours, heard.claim) {
            (Some(say), Some(claim)) => self.say(claim.address, say),
            _ => Vec::new(),
        };
        let answer = match heard.question {
            Some(question) => self.asked(question, now),
            None => ours.map(|_| None).ok_or(DropReason::NotOurs),
        };
        match answer {
            Ok(answer) => said.extend(answer),
            // Who claims what is ours had an effect, whatever it asked.
            Err(_) if ours.is_some() => {}
            Err(reason) => self.drops.count(reason),
        }
        said
    }

    /// Somebody says who has an address; what we say to that, if it is one of ours.
    fn claimed(&mut self, from: MacAddress, claim: Claim, now: Duration) -> Option<Say> {
        if self.peers.contains(&from) {
            return self.alter(claim.address, Address::announced).map(|()| Say::Nothing);
        }
        let ahead = self.ahead.claimed(claim.address, now).then_some(Say::Nothing);
        self.alter(claim.address, |known| known.claimed(claim.mac, now)).or(ahead)
    }

    /// The answer to a question.
    fn asked(&mut self, question: Question, now: Duration) -> Result<Option<Vec<u8>>, DropReason> {
        let Question { about, asker } = question;
        let probes = asker.address.is_none() && !self.peers.contains(&asker.mac);
        if probes && self.ahead.claimed(about, now) {
            return Err(DropReason::Probing);
        }
        let known = self.addresses.get(&about).ok_or(DropReason::NotOurs)?;
        if let Some(claim) = known.claim(about) {
            if claim.mac == asker.mac {
                return Err(DropReason::AskerIsAnswer);
            }
            return Ok(Some(frame::answer(self.us, claim, asker)));
        }
        let standing = known.standing();
        // Who probes an address at the same time wants it as well (RFC 5227, 2.1.1).
        if asker.address.is_none() && standing == Standing::Probing {
            self.claimed(asker.mac, Claim { address: about, mac: asker.mac }, now);
        }
        Err(match standing {
            Standing::Silent => DropReason::NotElected,
            Standing::Conflict { .. } => DropReason::Conflict,
            Standing::Probing | Standing::Announcing(_) => DropReason::Probing,
        })
    }

    /// Frames that are due, about so many; the rest is due still.
    pub fn poll(&mut self, now: Duration, most: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < most
            && let Some((_, address)) = self.due.first().filter(|(due, _)| *due <= now).copied()
        {
            let said = self.alter(address, |known| known.act(address, now));
            frames.extend(self.say(address, said.unwrap_or(Say::Nothing)));
        }
        while frames.len() < most
            && let Some(address) = self.ahead.poll(now)
        {
            frames.extend(self.say(address, Say::Ask));
        }
        frames
    }

    /// When [`Self::poll`] has something to give (monotonic).
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let due = self.due.first().map(|(due, _)| *due);
        [due, self.ahead.deadline()].into_iter().flatten().min()
    }

    /// How an address stands.
    #[must_use]
    pub fn standing(&self, address: IpAddr) -> Option<Standing> {
        self.addresses.get(&address).map(Address::standing)
    }

    /// The addresses that stand otherwise than at the last call.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.changed)
    }

    /// Counts what had no effect, and was not heard here.
    pub fn count(&mut self, reason: DropReason) {
        self.drops.count(reason);
    }

    /// What had no effect, by reason.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Changes an address that is known, and notes what follows from it.
    fn alter<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut Address) -> T) -> Option<T> {
        let known = self.addresses.get_mut(&address)?;
        let (due, standing) = (known.due(), known.standing());
        let done = change(known);
        let now_due = known.due();
        if due != now_due {
            due.map(|due| self.due.remove(&(due, address)));
            self.due.extend(now_due.map(|due| (due, address)));
        }
        if standing != known.standing() {
            self.changed.insert(address);
        }
        Some(done)
    }

    fn say(&self, address: IpAddr, said: Say) -> Vec<Vec<u8>> {
        match said {
            Say::Nothing => Vec::new(),
            Say::Ask => vec![frame::probe(self.us, address)],
            Say::Announce(mac) => frame::announce(self.us, Claim { address, mac }),
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
