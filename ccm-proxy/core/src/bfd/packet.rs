//! BFD control packets (RFC 5880, 4.1).

use std::num::NonZeroU32;
use std::time::Duration;

use crate::drop_reason::DropReason;

/// Octets of a packet without authentication.
pub const LENGTH: usize = 24;
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// How a session stands (RFC 5880, 6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held down on purpose.
    AdminDown,
    /// The other one is not heard.
    #[default]
    Down,
    /// The other one is heard, and does not hear us yet.
    Init,
    /// Each hears the other.
    Up,
}

/// Why a session went down last (RFC 5880, 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Diagnostic {
    /// It never was.
    #[default]
    None,
    /// The other one was not heard in time.
    Expired,
    /// The other one said so.
    NeighborDown,
    /// On purpose.
    AdminDown,
    /// Something else that the other one says, by its number (0 to 31).
    Other(u8),
}

/// A control packet. Times are whole microseconds of up to 2^32 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session went down last.
    pub diagnostic: Diagnostic,
    /// How the sender's session stands.
    pub state: State,
    /// The sender asks for confirmation of what this packet says.
    pub poll: bool,
    /// The answer to one that asked.
    pub last: bool,
    /// The sender goes on sending while the system that controls it is restarted.
    pub independent: bool,
    /// The sender wants to send no more once the session is up.
    pub demand: bool,
    /// How many of the sender's packets must be missed in a row.
    pub multiplier: u8,
    /// The sender's number of the session.
    pub mine: NonZeroU32,
    /// The receiver's number of the session, as far as the sender knows.
    pub yours: Option<NonZeroU32>,
    /// How often the sender wants to send at most.
    pub transmit: Duration,
    /// How often the sender can receive at most; zero is never.
    pub receive: Duration,
}

impl Packet {
    /// Reads the payload of a UDP packet.
    ///
    /// # Errors
    /// [`DropReason::MalformedBfd`] where RFC 5880, 6.8.6 says to discard it, and where it is
    /// authenticated: nothing here is.
    pub fn read(bytes: &[u8]) -> Result<Self, DropReason> {
        Self::whole(bytes).ok_or(DropReason::MalformedBfd)
    }

    fn whole(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<LENGTH>()?;
        let [first, flags, multiplier, length, words @ ..] = *head;
        let word = |at: usize| {
            let octets = words.get(at * 4..at * 4 + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(octets))
        };
        let micros = |at| word(at).map(|micros| Duration::from_micros(micros.into()));
        let length = usize::from(length);
        let bad = first >> 5 != VERSION
            || flags & (AUTHENTICATED | MULTIPOINT) != 0
            || multiplier == 0
            || length < LENGTH
            || length > bytes.len();
        if bad {
            return None;
        }
        let packet = Self {
            diagnostic: Diagnostic::from_number(first & 0x1f),
            state: State::from_number(flags >> 6),
            poll: flags & POLL != 0,
            last: flags & FINAL != 0,
            independent: flags & INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            mine: NonZeroU32::new(word(0)?)?,
            yours: NonZeroU32::new(word(1)?),
            transmit: micros(2)?,
            receive: micros(3)?,
        };
        // Who does not know our number cannot have heard us.
        let knows_us = packet.yours.is_some();
        let apart = matches!(packet.state, State::Down | State::AdminDown);
        (knows_us || apart).then_some(packet)
    }

    /// The payload of the UDP packet.
    #[must_use]
    pub fn write(&self) -> [u8; LENGTH] {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = self.state.number() << 6
            | flag(self.poll, POLL)
            | flag(self.last, FINAL)
            | flag(self.independent, INDEPENDENT)
            | flag(self.demand, DEMAND);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let words = [
            self.mine.get(),
            self.yours.map_or(0, NonZeroU32::get),
            micros(self.transmit),
            micros(self.receive),
            // No echo.
            0,
        ];
        let mut bytes = [0; LENGTH];
        let length = 24;
        let head = [VERSION << 5 | self.diagnostic.number(), flags, self.multiplier, length];
        let all = head.into_iter().chain(words.into_iter().flat_map(u32::to_be_bytes));
        bytes.iter_mut().zip(all).for_each(|(place, octet)| *place = octet);
        bytes
    }
}

impl State {
    const fn number(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl Diagnostic {
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Expired => 1,
            Self::NeighborDown => 3,
            Self::AdminDown => 7,
            Self::Other(number) => number & 0x1f,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Expired,
            3 => Self::NeighborDown,
            7 => Self::AdminDown,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From FRR's bfdd: up, 300 ms, three times.
    const UP: [u8; LENGTH] = [
        0x20, 0xc0, 0x03, 0x18, 0x12, 0x34, 0x56, 0x78, 0x00, 0x00, 0x00, 0x2a, 0x00, 0x04, 0x93,
        0xe0, 0x00, 0x04, 0x93, 0xe0, 0x00, 0x00, 0x00, 0x00,
    ];

    fn up() -> Packet {
        Packet {
            diagnostic: Diagnostic::None,
            state: State::Up,
            poll: false,
            last: false,
            independent: false,
            demand: false,
            multiplier: 3,
            mine: NonZeroU32::new(0x1234_5678).unwrap(),
            yours: NonZeroU32::new(42),
            transmit: Duration::from_millis(300),
            receive: Duration::from_millis(300),
        }
    }

    #[test]
    fn a_packet_has_these_bytes() {
        assert_eq!(Packet::read(&UP), Ok(up()));
        assert_eq!(up().write(), UP);
    }

    #[test]
    fn what_must_be_discarded_is() {
        for (at, value, what) in [
            (0, 0x40, "version 2"),
            (1, 0xc4, "authenticated"),
            (1, 0xc1, "multipoint"),
            (2, 0, "no multiplier"),
            (3, 23, "too short by its own account"),
            (3, 25, "longer than what came"),
        ] {
            let mut bytes = UP;
            bytes[at] = value;
            assert_eq!(Packet::read(&bytes), Err(DropReason::MalformedBfd), "{what}");
        }
        let mut nobody = UP;
        nobody[4..8].fill(0);
        assert_eq!(Packet::read(&nobody), Err(DropReason::MalformedBfd), "from no session");
        for (flags, fine) in [(0x00, true), (0x40, true), (0x80, false), (0xc0, false)] {
            let mut to_nobody = UP;
            to_nobody[1] = flags;
            to_nobody[8..12].fill(0);
            assert_eq!(Packet::read(&to_nobody).is_ok(), fine, "to no session, state {flags:#x}");
        }
        for length in 0..LENGTH {
            assert!(Packet::read(&UP[..length]).is_err());
        }
    }

    #[test]
    fn what_follows_a_packet_is_none_of_it() {
        let longer: Vec<u8> = UP.into_iter().chain([1, 2, 3]).collect();
        assert_eq!(Packet::read(&longer), Ok(up()));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = bytes;
            if bytes.len() >= LENGTH {
                // Past the first checks, mostly.
                bytes[0] = 0x20 | bytes[0] & 0x1f;
                bytes[1] &= !(AUTHENTICATED | MULTIPOINT);
                bytes[3] = 24;
                bytes[20..24].fill(0);
            }
            if let Ok(packet) = Packet::read(&bytes) {
                prop_assert_eq!(&packet.write()[..], &bytes[..LENGTH]);
                prop_assert_eq!(Packet::read(&packet.write()), Ok(packet));
            }
        }
    }
}
