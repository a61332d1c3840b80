//! Cuts a stream of concatenated JSON objects, which has no delimiter, into messages.

use bytes::{Buf, Bytes, BytesMut};

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest message, in bytes.
    pub message: usize,
    /// The deepest nesting of objects and arrays.
    pub depth: u32,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { message: 256 * 1024 * 1024, depth: 64 }
    }
}

/// Why a stream cannot be cut any further; the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message does not begin with `{`.
    #[error("a message begins with byte {0:#04x} instead of an object")]
    NotAnObject(u8),
    /// A message is longer than allowed.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// Objects and arrays are nested deeper than allowed.
    #[error("a message is nested deeper than {0} levels")]
    TooDeep(u32),
}

/// The memory of longer messages is given back, not used again.
const RETAINED: usize = 1024 * 1024;

/// Finds the end of each message, looking at each byte once however the stream is split.
///
/// Memory grows with what has arrived, never with what a peer announces.
#[derive(Debug)]
pub struct Framer {
    limits: FrameLimits,
    buffer: BytesMut,
    /// How many bytes of `buffer` were looked at: all belong to the message being received.
    scanned: usize,
    place: Place,
}

/// Where in a message the next byte is.
#[derive(Clone, Copy, Debug)]
struct Place {
    depth: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Structure,
    Text,
    Escape,
}

impl Framer {
    /// An empty stream.
    pub fn new(limits: FrameLimits) -> Self {
        let place = Place { depth: 0, state: State::Structure };
        Self { limits, buffer: BytesMut::new(), scanned: 0, place }
    }

    /// Whether no part of a message waits for the rest of it.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How much there is of a message that is not complete, in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// The stream is not a sequence of objects, or exceeds a limit.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.place.depth == 0 {
            self.begin()?;
        }
        let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
        let end = self.place.follow(fresh, self.limits.depth)?.map(|end| self.scanned + end);
        let length = end.unwrap_or(self.buffer.len());
        if length > self.limits.message {
            return Err(FrameError::TooLong(self.limits.message));
        }
        self.scanned = if end.is_some() { 0 } else { length };
        Ok(end.map(|end| self.split(end)))
    }

    fn split(&mut self, end: usize) -> Bytes {
        let message = self.buffer.split_to(end).freeze();
        if end > RETAINED {
            // What follows shares the memory of the long message: leave it behind.
            self.buffer = BytesMut::from(&*self.buffer);
        }
        message
    }

    /// Skips white space and checks that an object follows.
    fn begin(&mut self) -> Result<(), FrameError> {
        let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.buffer.advance(blank);
        match self.buffer.first() {
            None | Some(b'{') => Ok(()),
            Some(&other) => Err(FrameError::NotAnObject(other)),
        }
    }
}

impl Place {
    /// Goes through these bytes, to behind the end of the message if it is among them.
    fn follow(&mut self, bytes: &[u8], deepest: u32) -> Result<Option<usize>, FrameError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                // Most of a message is text: what is neither its end nor an escape is passed over.
                State::Text => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(passed) = memchr::memchr2(b'"', b'\\', rest) else { break };
                    at += passed;
                    let ends = rest.get(passed) == Some(&b'"');
                    self.state = if ends { State::Structure } else { State::Escape };
                }
                State::Escape => self.state = State::Text,
                State::Structure => match byte {
                    b'"' => self.state = State::Text,
                    b'{' | b'[' if self.depth == deepest => {
                        return Err(FrameError::TooDeep(deepest));
                    }
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                },
            }
            at += 1;
            if self.depth == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(limits: FrameLimits, chunks: &[&[u8]]) -> Result<Vec<Bytes>, FrameError> {
        let (mut framer, mut frames) = (Framer::new(limits), Vec::new());
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.next_message()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// Whatever stood there, it would be found by who looks twice.
    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        let mut framer = Framer::new(FrameLimits::default());
        let text = "x".repeat(1_000);
        framer.push(b"{\"a\":[\"");
        for _ in 0..50 {
            framer.push(text.as_bytes());
            assert_eq!(framer.next_message(), Ok(None));
            assert_eq!(framer.scanned, framer.buffer.len());
            framer.buffer.fill(b'}');
        }
        framer.push(b"\"]}{}");
        assert_eq!(framer.next_message().unwrap().map(|message| message.len()), Some(50_010));
        assert_eq!(framer.next_message().unwrap().as_deref(), Some(b"{}".as_slice()));
    }

    const STREAM: &str = "{\"a\":\"}\\\"{\\\\\"} \r\n{\"b\":[{},[\"]\"]]}{}";

    #[test]
    fn brackets_inside_strings_do_not_count() {
        let whole = frames(FrameLimits::default(), &[STREAM.as_bytes()]).unwrap();
        assert_eq!(whole, ["{\"a\":\"}\\\"{\\\\\"}", "{\"b\":[{},[\"]\"]]}", "{}"]);
    }

    #[test]
    fn a_stream_cut_into_single_bytes_gives_the_same_messages() {
        let bytes: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        let whole = frames(FrameLimits::default(), &[STREAM.as_bytes()]);
        assert_eq!(frames(FrameLimits::default(), &bytes), whole);
    }

    #[test]
    fn endless_nesting_ends_at_the_limit() {
        let limits = FrameLimits { message: 1 << 20, depth: 8 };
        let bomb = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(frames(limits, &[bomb.as_bytes()]), Err(FrameError::TooDeep(8)));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(7), "]".repeat(7));
        assert_eq!(frames(limits, &[deep.as_bytes()]).unwrap().len(), 1);
    }

    #[test]
    fn an_endless_message_ends_at_the_limit_complete_or_not() {
        let limits = FrameLimits { message: 10, depth: 8 };
        assert_eq!(frames(limits, &[b"{\"a\":\"12", b"345"]), Err(FrameError::TooLong(10)));
        assert_eq!(frames(limits, &[b"{\"a\":\"123\"}"]), Err(FrameError::TooLong(10)));
        assert_eq!(frames(limits, &[b"{\"a\":\"12\"}"]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_object_is_refused_at_its_first_byte() {
        for (stream, first) in [("[]", b'['), ("}", b'}'), ("GET /", b'G'), ("\u{0}", 0)] {
            assert_eq!(
                frames(FrameLimits::default(), &[stream.as_bytes()]),
                Err(FrameError::NotAnObject(first))
            );
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_what_the_whole_gives(
            text in "(\\{[ a\"\\\\{}\\[\\]:é]{0,20}\\}){0,6}",
            cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let limits = FrameLimits { message: 60, depth: 5 };
            let singles: Vec<&[u8]> = bytes.chunks(1).collect();
            let split = frames(limits, &chunks);
            let single = frames(limits, &singles);
            // Which limit is met first depends on the split, that one is met does not.
            prop_assert_eq!(split.is_err(), single.is_err());
            if let (Ok(split), Ok(single)) = (split, single) {
                prop_assert_eq!(split, single);
            }
        }
    }
}
