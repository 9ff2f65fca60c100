//! Decodes what a cell prints, bytes, into text and blocks of rich output.

use std::mem;

use memchr::memmem;
use serde_json::Value;

/// How evcxr marks the begin of rich output; its media type and a newline follow.
const BEGIN: &[u8] = b"EVCXR_BEGIN_CONTENT ";
const END: &[u8] = b"\nEVCXR_END_CONTENT\n";

/// A longer block is taken for text: its end may never arrive.
const LONGEST: usize = 256 << 20;

#[derive(Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Block { media_type: String, content: String },
}

/// What arrives through the channel.
#[derive(Debug)]
pub enum Event {
    Printed(&'static str, Piece),
    /// This number of bytes was printed faster than it could be passed on.
    Omitted(usize),
    /// A message of the library.
    Message(Value),
    Synced,
    /// The process has ended, and everything that it printed has arrived.
    Closed,
}

/// Standard output or standard error, decoded as it arrives.
#[derive(Default)]
pub struct Stream {
    /// An incomplete character or block.
    pending: Vec<u8>,
    /// How much of an incomplete block has been searched for its end.
    searched: usize,
}

impl Stream {
    /// The pieces that these bytes complete. Invalid UTF-8 becomes �.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.pending.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        loop {
            let Some(begin) = memmem::find(&self.pending, BEGIN) else {
                let rest = self.pending.split_off(complete_length(&self.pending));
                push_text(&mut pieces, &mem::replace(&mut self.pending, rest));
                return pieces;
            };
            let block = self.pending.split_off(begin);
            push_text(&mut pieces, &mem::replace(&mut self.pending, block));
            let from = self.searched.max(BEGIN.len());
            let Some(end) = memmem::find(&self.pending[from..], END).map(|end| end + from) else {
                self.searched = self.pending.len().saturating_sub(END.len());
                if self.pending.len() > LONGEST {
                    pieces.extend(self.finish().map(Piece::Text));
                }
                return pieces;
            };
            let rest = self.pending.split_off(end + END.len());
            let block = mem::replace(&mut self.pending, rest);
            self.searched = 0;
            let block = String::from_utf8_lossy(&block[BEGIN.len()..end]).into_owned();
            let (media_type, content) = block.split_once('\n').unwrap_or((&block, ""));
            pieces.push(Piece::Block { media_type: media_type.trim().to_owned(), content: content.to_owned() });
        }
    }

    /// What is incomplete at the end of a cell, as text.
    pub fn finish(&mut self) -> Option<String> {
        self.searched = 0;
        let rest = mem::take(&mut self.pending);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

fn push_text(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    if !bytes.is_empty() {
        pieces.push(Piece::Text(String::from_utf8_lossy(bytes).into_owned()));
    }
}

/// The length of the bytes without an incomplete last character.
fn complete_length(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    let last = bytes[start..].iter().rposition(|byte| *byte >= 0xc0).map_or(bytes.len(), |last| last + start);
    match std::str::from_utf8(&bytes[last..]) {
        Err(error) if error.error_len().is_none() => last,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn block(media_type: &str, content: &str) -> Piece {
        Piece::Block { media_type: media_type.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn all_bytes_become_text_and_characters_stay_whole() {
        let mut stream = Stream::default();
        let whole = "é, お, 🦀".as_bytes();
        let mut all = String::new();
        for byte in whole {
            all.extend(stream.add(&[*byte]).into_iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Block { .. } => unreachable!(),
            }));
        }
        assert_eq!(all, "é, お, 🦀");
        assert_eq!(stream.add(b"caf\xe9\n"), [text("caf\u{fffd}\n")]);
        assert_eq!(stream.add(b"a\xe3"), [text("a")]);
        assert_eq!(stream.finish().as_deref(), Some("\u{fffd}"));
        assert_eq!(stream.finish(), None);
    }

    #[test]
    fn a_block_is_found_between_texts_wherever_it_is_cut() {
        let whole = b"checking EVCXR_BEGIN_CONTENT text/html\n<b>\n1</b>\nEVCXR_END_CONTENT\nafter\n";
        for cut in 0..whole.len() {
            let mut stream = Stream::default();
            let mut pieces = stream.add(&whole[..cut]);
            pieces.extend(stream.add(&whole[cut..]));
            let blocks = pieces.iter().filter(|piece| matches!(piece, Piece::Block { .. })).count();
            // evcxr writes the marker at once: if it is cut, it may become text.
            let is_cut = (10..9 + BEGIN.len()).contains(&cut);
            assert!(blocks == 1 || is_cut, "cut at {cut}: {pieces:?}");
            if blocks == 1 && cut < 9 {
                assert_eq!(pieces[pieces.len() - 2..], [block("text/html", "<b>\n1</b>"), text("after\n")]);
            }
        }
    }

    #[test]
    fn a_block_without_an_end_becomes_text() {
        let mut stream = Stream::default();
        assert_eq!(stream.add(b"a\nEVCXR_BEGIN_CONTENT text/html\n<script>"), [text("a\n")]);
        assert_eq!(stream.add(b"more\n"), []);
        assert_eq!(stream.finish().as_deref(), Some("EVCXR_BEGIN_CONTENT text/html\n<script>more\n"));
        let empty = stream.add(b"EVCXR_BEGIN_CONTENT x\nEVCXR_END_CONTENT\n");
        assert_eq!(empty, [block("x", "")]);
    }
}
