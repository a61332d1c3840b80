//! IPv4: a bit for each address.

/// Bits of a word.
const WORD: u32 = u64::BITS;

/// Addresses of several ranges, one bit each: set while it is free. Above them a bit for each word
/// that is not empty, and so on, up to one word: the lowest free address is found from the top.
#[derive(Clone, Debug, Default)]
pub(super) struct Dense {
    /// First address, last address, and the number of the first among all; ascending.
    ranges: Vec<(u32, u32, u64)>,
    /// The bits of the addresses, then of their words, and so on.
    levels: Vec<Vec<u64>>,
    free: u64,
}

impl Dense {
    /// Adds a range behind those there are.
    pub(super) fn push(&mut self, first: u32, last: u32) {
        let number = self.ranges.last().map_or(0, |(first, last, number)| {
            number.saturating_add(u64::from(last - first)).saturating_add(1)
        });
        self.ranges.push((first, last, number));
    }

    /// Makes all addresses free, but for those that end in 0 or 255 if `avoid_buggy`.
    pub(super) fn fill(&mut self, avoid_buggy: bool) {
        let count = self.ranges.last().map_or(0, |(first, last, start)| {
            start.saturating_add(u64::from(last - first)).saturating_add(1)
        });
        self.free = count;
        let (words, rest) = place(count);
        let mut bits = vec![u64::MAX; words];
        bits.extend((rest > 0).then(|| (1 << rest) - 1));
        let buggy = self.ranges.iter().flat_map(|range| buggy(*range)).filter(|_| avoid_buggy);
        for number in buggy {
            let (word, bit) = place(number);
            if let Some(word) = bits.get_mut(word) {
                *word &= !(1 << bit);
                self.free -= 1;
            }
        }
        self.levels = vec![bits];
        while let Some(below) = self.levels.last().filter(|level| level.len() > 1) {
            let full = |words: &[u64]| {
                words.iter().rev().fold(0, |bits, word| bits << 1 | u64::from(*word != 0))
            };
            let level = below.chunks(WORD as usize).map(full).collect();
            self.levels.push(level);
        }
        self.levels.iter_mut().for_each(Vec::shrink_to_fit);
    }

    pub(super) const fn free(&self) -> u64 {
        self.free
    }

    pub(super) fn lowest(&self) -> Option<u32> {
        let mut number = 0;
        for level in self.levels.iter().rev() {
            let word = level.get(usize::try_from(number).ok()?).filter(|word| **word != 0)?;
            number = number * u64::from(WORD) + u64::from(word.trailing_zeros());
        }
        let after = self.ranges.partition_point(|(_, _, start)| *start <= number);
        let (first, _, start) = self.ranges.get(after.checked_sub(1)?)?;
        first.checked_add(u32::try_from(number - start).ok()?)
    }

    /// Makes an address free or not; whether it is of the set and was the other.
    pub(super) fn set(&mut self, address: u32, free: bool) -> bool {
        let Some(mut number) = self.number(address) else { return false };
        for (height, level) in self.levels.iter_mut().enumerate() {
            let (word, bit) = place(number);
            let Some(word) = level.get_mut(word) else { return false };
            let before = *word;
            *word = if free { before | 1 << bit } else { before & !(1 << bit) };
            if height == 0 {
                if *word == before {
                    return false;
                }
                self.free = if free { self.free + 1 } else { self.free - 1 };
            }
            if (before == 0) == (*word == 0) {
                return true;
            }
            number /= u64::from(WORD);
        }
        true
    }

    fn number(&self, address: u32) -> Option<u64> {
        let after = self.ranges.partition_point(|(first, _, _)| *first <= address);
        let (first, last, start) = self.ranges.get(after.checked_sub(1)?)?;
        (address <= *last).then(|| start + u64::from(address - first))
    }
}

/// The numbers of the addresses of a range that end in 0 or 255.
fn buggy((first, last, start): (u32, u32, u64)) -> impl Iterator<Item = u64> {
    let blocks = (first >> 8)..=(last >> 8);
    let ends = blocks.flat_map(|block| [block << 8, block << 8 | 0xff]);
    let inside = ends.filter(move |address| (first..=last).contains(address));
    inside.map(move |address| start + u64::from(address - first))
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / u64::from(WORD)).unwrap_or(usize::MAX);
    (word, number % u64::from(WORD))
}
