//! Damaged copies of files for the fuzz tests, seeded, so that failures can be reproduced.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Replacements for numbers: edge cases of sizes, counts and indices.
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "1125899906842624",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "0.5",
    "-0.0",
    "1e-320",
    "1e38",
    "1e308",
    "-1e308",
    "1e999",
    "null",
];

/// Bytes with a meaning in many formats.
const BYTES: [u8; 10] = [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, b'\n', b'"', b'{', b'9'];

pub struct Mutator(Xoshiro256PlusPlus);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A random number below `end`.
    #[allow(dead_code)]
    pub fn below(&mut self, end: usize) -> usize {
        self.0.gen_range(0..end.max(1))
    }

    /// A copy that differs from the original: one to three flipped bits, set bytes, cuts, removed and doubled pieces,
    /// inserted runs, pieces of `other` and, where there are digits, other numbers.
    pub fn damage(&mut self, original: &[u8], other: &[u8]) -> Vec<u8> {
        loop {
            let mut bytes = original.to_vec();
            // Mostly one: several hide each other.
            for _ in 0..[1, 1, 1, 2, 3][self.below(5)] {
                self.step(&mut bytes, other);
            }
            if bytes != original {
                return bytes;
            }
        }
    }

    fn step(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let length = bytes.len();
        match self.below(10) {
            _ if bytes.is_empty() => self.insert(bytes),
            0 | 1 => {
                let at = self.place(length);
                bytes[at] ^= 1 << self.below(8);
            }
            2 => {
                let at = self.place(length);
                bytes[at] = if self.below(2) == 0 { BYTES[self.below(BYTES.len())] } else { self.0.r#gen() };
            }
            3 => bytes.truncate(self.below(length)),
            4 => {
                let (from, to) = self.piece(length);
                bytes.drain(from..to);
            }
            5 => {
                let (from, to) = self.piece(length);
                let piece = bytes[from..to].to_vec();
                let at = self.below(length + 1);
                bytes.splice(at..at, piece);
            }
            6 => {
                let (from, to) = self.piece(other.len());
                let at = self.place(length);
                // Overwritten or inserted.
                let end = if self.below(2) == 0 { (at + to - from).min(length) } else { at };
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            7 => self.insert(bytes),
            _ => self.number(bytes),
        }
    }

    /// A position, one time in four in the first bytes, where sizes are.
    fn place(&mut self, length: usize) -> usize {
        let end = if self.below(4) == 0 { length.min(32) } else { length };
        self.below(end)
    }

    /// Start and end of a piece, mostly short.
    fn piece(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length + 1);
        let most = if self.below(4) == 0 { length - from } else { (length - from).min(16) };
        (from, from + self.below(most + 1))
    }

    fn insert(&mut self, bytes: &mut Vec<u8>) {
        let run = [1, 2, 4, 8, 64, 4096][self.below(6)];
        let byte = BYTES[self.below(BYTES.len())];
        let at = self.below(bytes.len() + 1);
        bytes.splice(at..at, std::iter::repeat_n(byte, run));
    }

    /// Replaces a number in a text, or changes or adds a digit.
    fn number(&mut self, bytes: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..bytes.len())
            .filter(|&i| bytes[i].is_ascii_digit() && (i == 0 || !bytes[i - 1].is_ascii_digit()))
            .collect();
        if starts.is_empty() {
            return self.insert(bytes);
        }
        let start = starts[self.below(starts.len())];
        let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        match self.below(4) {
            0 => bytes[start + self.0.gen_range(0..digits)] = b'0' + self.0.gen_range(0..10),
            1 => drop(bytes.splice(start..start, [b'1' + self.0.gen_range(0..9)])),
            _ => drop(bytes.splice(start..start + digits, NUMBERS[self.0.gen_range(0..NUMBERS.len())].bytes())),
        }
    }
}
