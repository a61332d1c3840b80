//! IPv4: a bit for each address.

/// Bits of a word.
const WORD: u32 = u64::BITS;

/// Levels of words of 2^32 addresses.
const LEVELS: usize = 6;

/// Addresses of several ranges, one bit each: set while it is free. Above them a bit for each word
/// that is not empty, and so on, up to one word: the lowest free address is found from the top.
#[derive(Clone, Debug, Default)]
pub(super) struct Dense {
    /// First and last address of the lowest range: most pools have no other.
    head: Option<(u32, u32)>,
    /// First address, last address, and the number of the first among all; ascending.
    more: Vec<(u32, u32, u64)>,
    /// The words of all levels, one after the other, the uppermost first.
    words: Box<[u64]>,
    /// Where each level starts, the bits of the addresses first.
    starts: [u32; LEVELS],
    levels: usize,
    free: u64,
}

impl Dense {
    /// Adds a range behind those there are.
    pub(super) fn push(&mut self, first: u32, last: u32) {
        let number = self.count();
        match self.head {
            None => self.head = Some((first, last)),
            Some(_) => self.more.push((first, last, number)),
        }
    }

    /// How many addresses there are, free or not.
    fn count(&self) -> u64 {
        let last = self.more.last().copied();
        let last = last.or_else(|| self.head.map(|(first, last)| (first, last, 0)));
        last.map_or(0, |(first, last, start)| start + u64::from(last - first) + 1)
    }

    /// Makes all addresses free, but for those that end in 0 or 255 if `avoid_buggy`.
    pub(super) fn fill(&mut self, avoid_buggy: bool) {
        self.free = self.count();
        let mut sizes = vec![words(self.free)];
        while let Some(below) = sizes.last().filter(|below| **below > 1) {
            sizes.push(below.div_ceil(WORD as usize));
        }
        self.levels = sizes.len();
        let mut all = 0;
        for (start, size) in self.starts.iter_mut().zip(&sizes).rev() {
            *start = u32::try_from(all).unwrap_or(u32::MAX);
            all += size;
        }
        self.words = vec![u64::MAX; all].into_boxed_slice();
        // What the last word of a level has beyond the level's end is not there.
        let ends = sizes.iter().map(|size| *size as u64);
        let ends = std::iter::once(self.free).chain(ends).zip(self.starts);
        for (count, start) in ends.take(self.levels) {
            let (word, rest) = place(count);
            if let Some(word) = self.words.get_mut(start as usize + word).filter(|_| rest > 0) {
                *word = (1 << rest) - 1;
            }
        }
        let head = self.head.map(|(first, last)| (first, last, 0));
        let ranges = head.into_iter().chain(self.more.clone()).filter(|_| avoid_buggy);
        for number in ranges.flat_map(buggy) {
            self.mark(number, false);
        }
    }

    pub(super) const fn free(&self) -> u64 {
        self.free
    }

    pub(super) fn lowest(&self) -> Option<u32> {
        let mut number = 0;
        for start in self.starts.iter().take(self.levels).rev() {
            let word = usize::try_from(u64::from(*start) + number).ok()?;
            let word = self.words.get(word).filter(|word| **word != 0)?;
            number = number * u64::from(WORD) + u64::from(word.trailing_zeros());
        }
        self.address(number)
    }

    /// The free addresses, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let [start, ..] = self.starts;
        let words = self.words.get(start as usize..).unwrap_or_default();
        let words = (0_u64..).zip(words).filter(|(_, word)| **word != 0);
        let bits = |(place, word): (u64, &u64)| {
            let word = *word;
            let set = (0..WORD).filter(move |bit| word & (1 << bit) != 0);
            set.map(move |bit| place * u64::from(WORD) + u64::from(bit))
        };
        words.flat_map(bits).filter_map(|number| self.address(number))
    }

    /// The address of a number.
    fn address(&self, number: u64) -> Option<u32> {
        let (first, start) = match self.head? {
            (first, last) if number <= u64::from(last - first) => (first, 0),
            _ => {
                let after = self.more.partition_point(|(_, _, start)| *start <= number);
                let (first, _, start) = self.more.get(after.checked_sub(1)?)?;
                (*first, *start)
            }
        };
        first.checked_add(u32::try_from(number - start).ok()?)
    }

    /// Makes an address free or not; whether it is of the set and was the other.
    pub(super) fn set(&mut self, address: u32, free: bool) -> bool {
        self.number(address).is_some_and(|number| self.mark(number, free))
    }

    fn mark(&mut self, mut number: u64, free: bool) -> bool {
        for (height, start) in self.starts.iter().take(self.levels).enumerate() {
            let (word, bit) = place(number);
            let Some(word) = self.words.get_mut(*start as usize + word) else { return false };
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
        let (first, last) = self.head?;
        if (first..=last).contains(&address) {
            return Some(u64::from(address - first));
        }
        let after = self.more.partition_point(|(first, _, _)| *first <= address);
        let (first, last, start) = self.more.get(after.checked_sub(1)?)?;
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

/// How many words hold so many bits.
fn words(bits: u64) -> usize {
    usize::try_from(bits.div_ceil(u64::from(WORD))).unwrap_or(usize::MAX)
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / u64::from(WORD)).unwrap_or(usize::MAX);
    (word, number % u64::from(WORD))
}
