//! Damage: a valid input becomes one that is nearly valid.
//!
//! Pure bytes rarely get past the first token of a parser, so most changes know what they change: numbers become the
//! extremes of their types, texts become hostile ones, members stand twice, arrays are nested by the thousand.

use std::ops::Range;

use fastrand::Rng;

/// Longest input made.
const LONGEST: usize = 256 * 1024;
/// Longest input of the one case in many that is large.
const LARGE: usize = 2 * 1024 * 1024;

/// Numbers at the edges of what types hold.
const NUMBERS: [&str; 30] = [
    "0",
    "-0",
    "-0.0",
    "1e999",
    "-1e999",
    "1e-999",
    "1e308",
    "1.7976931348623157e308",
    "5e-324",
    "3.5e38",
    "-129",
    "256",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "9223372036854775807.0",
    "18446744073709551615",
    "18446744073709551616",
    "1e18446744073709551616",
    "0.1e-99999999999999999999",
    "00",
    "+1",
    "1.",
    ".5",
    "NaN",
    "0x10",
];

/// Instants at the edges and beyond.
const INSTANTS: [&str; 16] = [
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00.000Z",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59-23:59",
    "10000-01-01T00:00:00Z",
    "2024-02-30T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2024-01-02T24:00:00Z",
    "2024-01-02T03:04:05.99999999999999999999Z",
    "-2024-01-02T03:04:05Z",
    "Mon, 01 Jan 12024 00:00:00 GMT",
    "Thu, 01 Jan 0000 00:00:00 GMT",
];

/// Texts, as they stand between quotes, that something may stumble over.
const TEXTS: [&str; 18] = [
    "",
    "\\ud800",
    "\\udc00\\ud800",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\uZZZZ",
    "\\",
    "\u{feff}",
    "\u{202e}abc",
    "e\u{301}\u{301}\u{301}",
    "'; DROP TABLE \\\"Wide\\\"; --",
    "''",
    "%00%ff%",
    "..",
    "/",
    "null",
    "\\r\\nX-Header: 1",
    "\u{1f9d1}\u{200d}\u{1f680}",
];

/// JSON values of every kind.
const VALUES: [&str; 12] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "\"\"",
    "\"text\"",
    "[]",
    "{}",
    "[{\"a\":[1,{\"b\":null}]}]",
];

/// What nests: JSON, filters, and filters as a database keeps them.
const PAIRS: [(&str, &str); 20] = [
    ("[", "]"),
    ("{\"a\":", "}"),
    ("(", ")"),
    ("not ", ""),
    ("-", ""),
    ("trim(", ")"),
    ("round(", ")"),
    ("floor(", ")"),
    ("concat(title,", ")"),
    ("substring(", ",1)"),
    ("substring(", ",0,9)"),
    ("replace(", ",'a','aaaaaaaa')"),
    ("date(", ")"),
    ("length(concat(title,note)) add (", ")"),
    ("(1 sub ", ")"),
    ("(title eq note) eq (", ")"),
    ("[\"not\",", "]"),
    ("[\"trim\",", "]"),
    ("[\"eq\",[\"null\"],", "]"),
    ("[\"replace\",[\"column\",\"title\"],[\"text\",\"a\"],", "]"),
];

/// Bytes that are no text, or text with a meaning of its own.
const BYTES: [&[u8]; 12] = [
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xef\xbb\xbf",
    b"\xfe\xff",
    b"\x1b[2J",
    b"\r\n\r\n",
    b"\x7f",
    b"\xe2\x80\xa8",
];

/// A damaged input: one of the corpus after some changes, with words of the target's language among them.
pub fn damaged(rng: &mut Rng, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = rng.choice(corpus).cloned().unwrap_or_default();
    let mut changes = 1;
    while changes < 16 && rng.u8(..3) != 0 {
        changes += 1;
    }
    for _ in 0..changes {
        change(rng, &mut input, corpus, words);
        input.truncate(LONGEST);
    }
    if rng.u16(..500) == 0 {
        grow(rng, &mut input);
    }
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    match rng.u8(..20) {
        0 => {
            if let Some(byte) = byte(rng, input) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        1 => {
            let random = rng.u8(..);
            if let Some(byte) = byte(rng, input) {
                *byte = random;
            }
        }
        2 => {
            let bytes = rng.choice(BYTES).unwrap_or_default();
            insert(rng, input, bytes);
        }
        3 => {
            let range = range(rng, input.len(), 64);
            input.drain(range);
        }
        4 => {
            let range = range(rng, input.len(), 256);
            let piece = input[range].to_vec();
            let times = if rng.u8(..8) == 0 { rng.usize(..200) } else { 1 };
            insert(rng, input, &piece.repeat(times));
        }
        5 => {
            let other = rng.choice(corpus).cloned().unwrap_or_default();
            let from = rng.usize(..=other.len());
            input.truncate(rng.usize(..=input.len()));
            input.extend_from_slice(&other[from..]);
        }
        6 => input.truncate(rng.usize(..=input.len())),
        7 | 8 => {
            let number = rng.choice(NUMBERS).unwrap_or_default();
            let found = tokens(input, |byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
            replace(rng, input, found, number.as_bytes());
        }
        9 => {
            let instant = rng.choice(INSTANTS).unwrap_or_default();
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'+');
            let mut found = tokens(input, inside);
            found.retain(|range| range.len() >= 10);
            replace(rng, input, found, instant.as_bytes());
        }
        10 | 11 => {
            let text = rng.choice(TEXTS).unwrap_or_default();
            let found = texts(input);
            replace(rng, input, found, text.as_bytes());
        }
        12 => {
            let value = rng.choice(VALUES).unwrap_or_default();
            let found = values(input);
            replace(rng, input, found, value.as_bytes());
        }
        13 => twice(rng, input),
        14 => nest(rng, input),
        15 => {
            let text = "long ".repeat(rng.usize(..4000));
            let found = texts(input);
            replace(rng, input, found, text.as_bytes());
        }
        16 => {
            let (left, right) = (range(rng, input.len(), 64), range(rng, input.len(), 64));
            let piece = input[right].to_vec();
            input.splice(left, piece);
        }
        _ => {
            let word = rng.choice(words).unwrap_or(&" ");
            if rng.bool() {
                insert(rng, input, word.as_bytes());
            } else {
                let found = tokens(input, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
                replace(rng, input, found, word.as_bytes());
            }
        }
    }
}

/// Repeats a piece until the input is large.
fn grow(rng: &mut Rng, input: &mut Vec<u8>) {
    let range = range(rng, input.len(), 512);
    let piece = input[range].to_vec();
    if !piece.is_empty() {
        let times = rng.usize(..LARGE) / piece.len();
        insert(rng, input, &piece.repeat(times));
    }
}

/// Opens brackets by the thousand, and closes them or not.
fn nest(rng: &mut Rng, input: &mut Vec<u8>) {
    let (open, close) = rng.choice(PAIRS).unwrap_or_default();
    let depth = rng.choice([2, 20, 60, 127, 129, 1_001, 20_000]).unwrap_or_default();
    let at = rng.usize(..=input.len());
    let found = values(input);
    let place = if rng.bool() { rng.choice(found) } else { None }.unwrap_or(at..at);
    let mut nested = open.repeat(depth).into_bytes();
    nested.extend_from_slice(&input[place.clone()]);
    if rng.u8(..4) != 0 {
        nested.extend_from_slice(close.repeat(depth).as_bytes());
    }
    input.splice(place, nested);
}

/// Lets a member stand twice, the second time with another value.
fn twice(rng: &mut Rng, input: &mut Vec<u8>) {
    let Some(place) = rng.choice(values(input)) else { return };
    let before = &input[..place.start];
    let Some(name) = before.iter().rposition(|byte| matches!(byte, b',' | b'{')) else { return };
    let mut member = vec![b','];
    member.extend_from_slice(&input[name + 1..place.start]);
    match rng.bool() {
        true => member.extend_from_slice(&input[place.clone()]),
        false => member.extend_from_slice(rng.choice(VALUES).unwrap_or_default().as_bytes()),
    }
    input.splice(place.end..place.end, member);
}

fn byte<'i>(rng: &mut Rng, input: &'i mut [u8]) -> Option<&'i mut u8> {
    let length = input.len();
    input.get_mut(rng.usize(..length.max(1)))
}

fn range(rng: &mut Rng, length: usize, longest: usize) -> Range<usize> {
    let from = rng.usize(..=length);
    from..(from + rng.usize(..=longest)).min(length)
}

fn insert(rng: &mut Rng, input: &mut Vec<u8>, bytes: &[u8]) {
    let at = rng.usize(..=input.len());
    input.splice(at..at, bytes.iter().copied());
}

fn replace(rng: &mut Rng, input: &mut Vec<u8>, found: Vec<Range<usize>>, with: &[u8]) {
    if let Some(range) = rng.choice(found) {
        input.splice(range, with.iter().copied());
    }
}

/// The longest runs of such bytes.
fn tokens(input: &[u8], inside: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (index, byte) in input.iter().chain(b" ").enumerate() {
        match (start, inside(*byte)) {
            (None, true) => start = Some(index),
            (Some(from), false) => {
                found.push(from..index);
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// What stands between two quotes of one kind.
fn texts(input: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(u8, usize)> = None;
    for (index, byte) in input.iter().enumerate() {
        match open {
            Some((quote, from)) if quote == *byte => {
                found.push(from..index);
                open = None;
            }
            None if matches!(byte, b'"' | b'\'') => open = Some((*byte, index + 1)),
            _ => {}
        }
    }
    found
}

/// What looks like the value of a member or an element that is no object or array.
fn values(input: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (index, byte) in input.iter().enumerate() {
        if !matches!(byte, b':' | b'[' | b',') {
            continue;
        }
        // Looked for nearby only: there may be as many places as bytes.
        let rest = &input[index + 1..(index + 400).min(input.len())];
        let length = match rest.first() {
            Some(b'"') => rest.iter().skip(1).position(|byte| *byte == b'"').map(|length| length + 2),
            _ => rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')),
        };
        if let Some(length) = length.filter(|length| *length > 0) {
            found.push(index + 1..index + 1 + length);
        }
    }
    found
}
