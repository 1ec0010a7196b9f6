//! Reads one whole zlib stream (RFC 1950, RFC 1951) into a bounded buffer.
//!
//! Ordinary decoders skip the bits that pad a block to a byte. Here they must be zero and nothing may follow the
//! checksum, so that a token with any bit changed is refused even where that bit says nothing.

/// Inflates `zlib` to at most `at_most` bytes; `None` for anything that is not exactly one such stream.
///
/// The bound is kept while inflating: no more than `at_most` bytes are ever held.
pub fn inflate(zlib: &[u8], at_most: usize) -> Option<Vec<u8>> {
    let [method, flags, body @ ..] = zlib else { return None };
    let is_deflate = method & 0x0f == 8 && method >> 4 <= 7;
    let has_dictionary = flags & 0x20 != 0;
    let holds = u16::from_be_bytes([*method, *flags]) % 31 == 0;
    if !is_deflate || has_dictionary || !holds {
        return None;
    }
    let mut bits = Bits { bytes: body, at: 0 };
    let mut out = Output { bytes: Vec::new(), at_most };
    loop {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored_block(&mut bits, &mut out)?,
            1 => {
                let (literals, distances) = fixed_codes()?;
                coded_block(&mut bits, &literals, &distances, &mut out)?;
            }
            2 => {
                let (literals, distances) = read_codes(&mut bits)?;
                coded_block(&mut bits, &literals, &distances, &mut out)?;
            }
            _ => return None,
        }
        if is_last {
            break;
        }
    }
    let checksum = bits.rest_after_padding()?;
    (checksum == adler32(&out.bytes).to_be_bytes()).then_some(out.bytes)
}

/// The stream as bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// The next `count` bits as a number, the first one lowest.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    /// Skips to the next whole byte over bits that must be zero.
    fn pad(&mut self) -> Option<()> {
        let padding = self.at.next_multiple_of(8) - self.at;
        (self.take(padding)? == 0).then_some(())
    }

    fn rest_after_padding(&mut self) -> Option<&'a [u8]> {
        self.pad()?;
        self.bytes.get(self.at / 8..)
    }
}

struct Output {
    bytes: Vec<u8>,
    at_most: usize,
}

impl Output {
    fn push(&mut self, byte: u8) -> Option<()> {
        if self.bytes.len() >= self.at_most {
            return None;
        }
        self.bytes.push(byte);
        Some(())
    }

    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        for _ in 0..length {
            let from = self.bytes.len().checked_sub(distance)?;
            let byte = *self.bytes.get(from)?;
            self.push(byte)?;
        }
        Some(())
    }
}

fn stored_block(bits: &mut Bits<'_>, out: &mut Output) -> Option<()> {
    bits.pad()?;
    let length = bits.take(16)?;
    if bits.take(16)? != length ^ 0xffff {
        return None;
    }
    for _ in 0..length {
        let byte = bits.take(8)? as u8;
        out.push(byte)?;
    }
    Some(())
}

const END_OF_BLOCK: usize = 256;
const LENGTH_BASE: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const LENGTH_EXTRA: [usize; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE: [usize; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const DISTANCE_EXTRA: [usize; 30] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];
/// The order in which a block tells the code lengths of the code lengths.
const LENGTHS_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST_CODE: usize = 15;

fn coded_block(
    bits: &mut Bits<'_>,
    literals: &Codes,
    distances: &Codes,
    out: &mut Output,
) -> Option<()> {
    loop {
        let symbol = literals.next(bits)?;
        if symbol < END_OF_BLOCK {
            out.push(symbol as u8)?;
            continue;
        }
        if symbol == END_OF_BLOCK {
            return Some(());
        }
        let place = symbol - END_OF_BLOCK - 1;
        let extra = bits.take(*LENGTH_EXTRA.get(place)?)?;
        let length = LENGTH_BASE.get(place)? + extra;
        // The longest length has a code of its own; spelled with the one before, it would have two forms.
        if length == 258 && place != 28 {
            return None;
        }
        let place = distances.next(bits)?;
        let extra = bits.take(*DISTANCE_EXTRA.get(place)?)?;
        out.repeat(DISTANCE_BASE.get(place)? + extra, length)?;
    }
}

/// A canonical Huffman code: how many codes there are of each length, and their symbols in order.
struct Codes {
    counts: [usize; LONGEST_CODE + 1],
    symbols: Vec<usize>,
}

impl Codes {
    /// Builds the code whose symbol *n* has a code of `lengths[n]` bits, or none where that is 0.
    ///
    /// Every bit string must mean something, except in a code of one symbol, or of none.
    fn new(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0; LONGEST_CODE + 1];
        for &length in lengths {
            *counts.get_mut(length)? += 1;
        }
        counts[0] = 0;
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&n| lengths[n] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        let mut free = 1usize;
        for count in &counts[1..] {
            free = (free * 2).checked_sub(*count)?;
        }
        let is_lone = symbols.is_empty() || (symbols.len() == 1 && counts[1] == 1);
        (free == 0 || is_lone).then_some(Self { counts, symbols })
    }

    /// The symbol whose code comes next in `bits`.
    fn next(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + (code - first)).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

fn fixed_codes() -> Option<(Codes, Codes)> {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    Some((Codes::new(&lengths)?, Codes::new(&[5; 32])?))
}

fn read_codes(bits: &mut Bits<'_>) -> Option<(Codes, Codes)> {
    let literals = bits.take(5)? + 257;
    let distances = bits.take(5)? + 1;
    let told = bits.take(4)? + 4;
    if literals > 286 || distances > DISTANCE_BASE.len() {
        return None;
    }
    let mut lengths = [0; LENGTHS_ORDER.len()];
    for &symbol in LENGTHS_ORDER.iter().take(told) {
        lengths[symbol] = bits.take(3)?;
    }
    let codes = Codes::new(&lengths)?;
    let mut lengths = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match codes.next(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    if lengths.len() > literals + distances || lengths[END_OF_BLOCK] == 0 {
        return None;
    }
    let (literal_lengths, distance_lengths) = lengths.split_at(literals);
    Some((Codes::new(literal_lengths)?, Codes::new(distance_lengths)?))
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1u32, 0u32);
    for &byte in bytes {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn deflate(bytes: &[u8], level: u32, flush_at: usize) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        let (head, tail) = bytes.split_at(flush_at.min(bytes.len()));
        encoder.write_all(head).unwrap();
        encoder.flush().unwrap();
        encoder.write_all(tail).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_any_level_packed_comes_back(
            bytes in proptest::collection::vec(prop_oneof![0u8..=255, 97u8..=100], 0..3000),
            level in 0u32..=9,
            flush_at in 0usize..3000,
        ) {
            let packed = deflate(&bytes, level, flush_at);

            prop_assert_eq!(inflate(&packed, bytes.len()), Some(bytes));
        }

        #[test]
        fn no_input_makes_it_panic_or_pass_its_bound(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            kind in 0u8..=7,
        ) {
            let mut zlib = vec![0x78, 0x9c, kind];
            zlib.extend(bytes);

            prop_assert!(inflate(&zlib, 1000).is_none_or(|out| out.len() <= 1000));
        }
    }

    #[test]
    fn one_byte_over_the_bound_is_too_much() {
        let packed = deflate(&[b'x'; 4097], 9, 0);

        assert_eq!(inflate(&packed, 4096), None);
        assert_eq!(inflate(&packed, 4097), Some(vec![b'x'; 4097]));
    }

    #[test]
    fn nothing_may_follow_the_stream() {
        let mut packed = deflate(b"a token", 6, 0);
        packed.push(0);

        assert_eq!(inflate(&packed, 100), None);
    }
}
