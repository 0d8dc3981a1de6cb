//! How a secret can be written: as it is, escaped for JSON, Rust, URLs, XML or a form, and in
//! base64.
//!
//! Escapes are undone while comparing, so any mixture of them is found: whether a writer escapes
//! `/` or not, in upper-case or lower-case digits, does not matter. Not known: hashes, hexadecimal
//! dumps, other codes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::secrets::Secret;

/// A shorter piece of base64 would tear what only looks like it.
const SHORTEST_BASE64: usize = 6;

/// A shorter piece of a secret at a cut is not worth hiding.
const SHORTEST_PIECE: usize = 4;

/// No escape that is known here is longer: a surrogate pair of JSON.
const LONGEST_ESCAPE: usize = 12;

/// Something to look for, in every way to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelling {
    word: Secret,
    code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Plain,
    Base64,
}

impl Spelling {
    /// Everything to look for because of one secret.
    pub(super) fn all_of(secret: &Secret) -> Vec<Self> {
        if secret.expose().is_empty() {
            return Vec::new();
        }
        let plain = Self { word: secret.clone(), code: Code::Plain };
        let coded = base64_of(secret).into_iter().map(|word| Self { word, code: Code::Base64 });
        std::iter::once(plain).chain(coded).collect()
    }

    /// How long it is when nothing of it is escaped.
    pub(super) fn len(&self) -> usize {
        self.word.expose().len()
    }

    /// Its first place in `text`: start and end.
    pub(super) fn find(&self, text: &str) -> Option<(usize, usize)> {
        let first = self.word.expose().chars().next()?;
        let starts = text.char_indices().filter(|(_, one)| can_begin(*one, first, self.code));
        let mut found = starts.filter_map(|(at, _)| Some((at, at + self.end_at(&text[at..])?)));
        found.next().map(|(start, end)| self.with_mixed_ends(text, start, end))
    }

    /// The end of the piece of it with which `text` begins; the text was cut within it.
    pub(super) fn ended_at_the_start_of(&self, text: &str) -> Option<usize> {
        let word = self.word.expose();
        let tails = word.char_indices().skip(1).map(|(at, _)| &word[at..]);
        let long = tails.filter(|tail| tail.chars().count() >= self.shortest_piece());
        // The cut can lie within an escape; then its rest comes first.
        let rest = text
            .bytes()
            .take(LONGEST_ESCAPE)
            .take_while(|byte| b"\\u{}x%;#&".contains(byte) || byte.is_ascii_hexdigit());
        let rest = rest.count();
        let ends = long.filter_map(|tail| {
            (0..=rest).find_map(|from| {
                Some(from + ends_of(tail, self.code, &text[from..]).into_iter().max()?)
            })
        });
        ends.max()
    }

    /// The start of the piece of it with which `text` ends; the text was cut within it.
    pub(super) fn begun_at_the_end_of(&self, text: &str) -> Option<usize> {
        let window = text.len().saturating_sub(self.word.expose().chars().count() * LONGEST_ESCAPE);
        let window = text.ceil_char_boundary(window);
        let starts = text[window..].char_indices().map(|(at, _)| window + at);
        starts.into_iter().find(|at| self.is_begun_by(&text[*at..]))
    }

    fn is_begun_by(&self, text: &str) -> bool {
        let is_cut_off = |end: &usize| {
            let rest = &text[*end..];
            rest.is_empty() || (rest.len() < LONGEST_ESCAPE && rest.starts_with(['\\', '%', '&']))
        };
        let mut ends = vec![0];
        for (count, one) in self.word.expose().chars().enumerate() {
            if count >= self.shortest_piece() && ends.iter().any(is_cut_off) {
                return true;
            }
            ends = next_ends(&ends, one, self.code, text);
            if ends.is_empty() {
                break;
            }
        }
        false
    }

    fn shortest_piece(&self) -> usize {
        if self.code == Code::Base64 { SHORTEST_BASE64 } else { SHORTEST_PIECE }
    }

    /// The end of it when `text` begins with it.
    fn end_at(&self, text: &str) -> Option<usize> {
        ends_of(self.word.expose(), self.code, text).into_iter().max()
    }

    /// The letters before and after a piece of base64 have some bits of the secret, too; padding
    /// tells its length.
    fn with_mixed_ends(&self, text: &str, start: usize, end: usize) -> (usize, usize) {
        if self.code == Code::Plain {
            return (start, end);
        }
        let is_letter = |one: &char| one.is_ascii_alphanumeric() || "+/-_".contains(*one);
        let before = text[..start].chars().next_back().filter(is_letter).map_or(0, char::len_utf8);
        let after = text[end..].chars().next().filter(is_letter).map_or(0, char::len_utf8);
        let padding = text[end + after..].bytes().take(2).take_while(|byte| *byte == b'=').count();
        (start - before, end + after + padding)
    }
}

/// The letters that do not depend on what surrounds the secret, for each of the three places at
/// which it can begin within a group of three bytes; and those of the secret alone.
fn base64_of(secret: &Secret) -> Vec<Secret> {
    let bytes = secret.expose().as_bytes();
    let encode = |bytes: &[u8]| Zeroizing::new(STANDARD_NO_PAD.encode(bytes));
    let mut words: Vec<Secret> = Vec::new();
    for before in 0..3 {
        let padded = Zeroizing::new([&[0; 2][..before], bytes].concat());
        let letters = encode(&padded);
        // A letter has six bits; one that has bits of a neighbour is not stable.
        let stable = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        words.push(Secret::from(&letters[stable]));
    }
    words.push(Secret::from(encode(bytes).as_str()));
    words.retain(|word| word.expose().len() >= SHORTEST_BASE64);
    words
}

fn can_begin(one: char, first: char, code: Code) -> bool {
    one == first
        || "\\%&".contains(one)
        || (one == '+' && first == ' ')
        || is_same_letter(one, first, code)
}

/// All ends that `word` can have when `text` begins with it.
fn ends_of(word: &str, code: Code, text: &str) -> Vec<usize> {
    let mut ends = vec![0];
    for one in word.chars() {
        ends = next_ends(&ends, one, code, text);
        if ends.is_empty() {
            break;
        }
    }
    ends
}

/// Where the text can go on after `one`, which begins at one of `ends`.
fn next_ends(ends: &[usize], one: char, code: Code, text: &str) -> Vec<usize> {
    let mut next = Vec::new();
    for end in ends {
        // Base64 is often broken into lines.
        let skipped = match code {
            Code::Plain => 0,
            Code::Base64 => {
                text[*end..].len() - text[*end..].trim_start_matches(['\n', '\r']).len()
            }
        };
        let at = end + if *end == 0 { 0 } else { skipped };
        for (length, found) in readings(&text[at..]) {
            let same = found == one || is_same_letter(found, one, code);
            if same && !next.contains(&(at + length)) {
                next.push(at + length);
            }
        }
    }
    next
}

/// The URL-safe alphabet has other letters for 62 and 63.
fn is_same_letter(one: char, other: char, code: Code) -> bool {
    code == Code::Base64 && matches!((one, other), ('-', '+') | ('_', '/'))
}

/// Every character that the start of `text` can stand for, with its length.
fn readings(text: &str) -> Vec<(usize, char)> {
    let Some(literal) = text.chars().next() else { return Vec::new() };
    let mut all = vec![(literal.len_utf8(), literal)];
    match literal {
        '+' => all.push((1, ' ')),
        '%' => all.extend(escaped_bytes(text, "%")),
        '&' => all.extend(entity(text)),
        '\\' => all.extend(backslashed(text)),
        _ => {}
    }
    all
}

/// `%C3%A4`, `\xc3\xa4`: the bytes of one character.
fn escaped_bytes(text: &str, mark: &str) -> Option<(usize, char)> {
    let step = mark.len() + 2;
    let byte = |index: usize| {
        let digits = text.get(index * step..)?.strip_prefix(mark)?.get(..2)?;
        number(digits, 16).and_then(|number| u8::try_from(number).ok())
    };
    let mut bytes = [byte(0)?, 0, 0, 0];
    let width = match bytes[0] {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    };
    for (index, place) in bytes.iter_mut().enumerate().take(width).skip(1) {
        *place = byte(index)?;
    }
    let one = std::str::from_utf8(&bytes[..width]).ok()?.chars().next()?;
    Some((width * step, one))
}

/// `&amp;`, `&#38;`, `&#x26;`.
fn entity(text: &str) -> Option<(usize, char)> {
    let end = text.bytes().take(LONGEST_ESCAPE).position(|byte| byte == b';')?;
    let one = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let digits = name.strip_prefix('#')?;
            let hex = digits.strip_prefix(['x', 'X']);
            char::from_u32(hex.map_or_else(|| number(digits, 10), |hex| number(hex, 16))?)?
        }
    };
    Some((end + 1, one))
}

/// `\n`, `\"`, `\u00e4`, `\u{e4}`, `\xe4`; with more backslashes when a quoted text was quoted
/// again.
fn backslashed(text: &str) -> Vec<(usize, char)> {
    let run = text.len() - text.trim_start_matches('\\').len();
    let mut all: Vec<_> = (1..4)
        .map(|times| 1 << times)
        .filter(|length| *length <= run)
        .map(|length| (length, '\\'))
        .collect();
    let mark = run - 1;
    all.extend(after_backslash(&text[mark..]).map(|(length, one)| (mark + length, one)));
    all
}

fn after_backslash(text: &str) -> Option<(usize, char)> {
    let one = match text[1..].chars().next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '0' => '\0',
        'x' => return escaped_bytes(text, "\\x"),
        'u' if text[2..].starts_with('{') => {
            let end = text.bytes().take(LONGEST_ESCAPE).position(|byte| byte == b'}')?;
            return Some((end + 1, char::from_u32(number(&text[3..end], 16)?)?));
        }
        'u' => return utf16(text),
        mark if mark == ' ' || mark.is_ascii_punctuation() => mark,
        _ => return None,
    };
    Some((2, one))
}

/// `\u00e4`, or a pair of surrogates.
fn utf16(text: &str) -> Option<(usize, char)> {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::try_from(number(digits, 16)?).ok()
    };
    let units: Vec<u16> = [unit(0), unit(6)].into_iter().map_while(|unit| unit).collect();
    let one = char::decode_utf16(units).next()?.ok()?;
    Some((one.len_utf16() * 6, one))
}

fn number(digits: &str, radix: u32) -> Option<u32> {
    // A sign would be taken, too.
    let all = digits.chars().all(|digit| digit.is_digit(radix));
    all.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}
