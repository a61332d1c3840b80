//! Damage to an input, drawn from a number.

/// Pieces that mean something to the protocol.
const TOKENS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"9223372036854775808",
    b"[\"set\",[]]",
    b"[\"map\",[]]",
    b"[\"uuid\",\"00000000-0000-0000-0000-000000000001\"]",
    b"\"insert\"",
    b"\"modify\"",
    b"\"delete\"",
    b"\"initial\"",
    b"\"error\":",
    b"\"result\":",
    b"\"id\":",
    b"\xff\xfe",
    b"\\u0000",
    b"{\"id\":null,\"method\":\"monitor_canceled\",\"params\":[\"ovn-client\"]}",
];

/// A stream of numbers that looks random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; zero if there is nothing below.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// The input of a round.
pub(crate) fn input(corpus: &[Vec<u8>], round: u64) -> Vec<u8> {
    let mut random = Random(round);
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let to = at + random.below((input.len() - at).min(64) + 1);
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = u8::try_from(random.below(256)).unwrap(),
            2 => drop(input.drain(at..to)),
            3 => {
                let piece = input[at..to].to_vec();
                input.splice(at..at, piece);
            }
            4 => input.truncate(at),
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                input.splice(at..to, other[from..].iter().copied());
            }
            _ => {
                let token = TOKENS[random.below(TOKENS.len())];
                input.splice(at..to, token.iter().copied());
            }
        }
        input.truncate(64 * 1024);
    }
    input
}
