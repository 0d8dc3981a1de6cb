//! Many VM names in few characters, as ClusterShell writes them: `web[01-40], db[1-8]`.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexMap;

/// From this many VMs on, what is the same on several of them is shown once.
pub const MANY_VMS: usize = 5;

/// A number with more digits than this is text: it may not fit an integer.
const MOST_DIGITS: usize = 18;

/// A name with one number in it.
struct Numbered<'a> {
    before: &'a str,
    digits: &'a str,
    number: u64,
    after: &'a str,
}

/// What the names of a set have in common: the text around the number, and the width to which the
/// number is filled with zeros. Names with numbers of different widths, such as `web1` and `web01`,
/// are in different sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape<'a> {
    before: &'a str,
    after: &'a str,
    width: Option<usize>,
}

/// A name that is not in a set yet, and its place among all names.
type Placed<'a> = (usize, &'a str);

/// The names as sets, in the order of the first name of each set. The last number of a name is
/// folded first; where that leaves a name alone, the number before it, as in
/// `web[1-2].dc1.example`.
pub fn folded<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut left: Vec<Placed> = names.into_iter().enumerate().collect();
    let mut sets: Vec<(usize, String)> = Vec::new();
    for nth in 0.. {
        left = fold_nth(&left, nth, &mut sets);
        if left.is_empty() {
            break;
        }
    }
    sets.sort_by_key(|(place, _)| *place);
    let sets: Vec<String> = sets.into_iter().map(|(_, set)| set).collect();
    sets.join(", ")
}

/// Folds the names on their `nth` number, counted from the end. Returns those that are still alone.
fn fold_nth<'a>(
    names: &[Placed<'a>],
    nth: usize,
    sets: &mut Vec<(usize, String)>,
) -> Vec<Placed<'a>> {
    let split: Vec<(Placed, Option<Numbered>)> =
        names.iter().map(|&name| (name, nth_number(name.1, nth))).collect();
    let numbered = || split.iter().filter_map(|(_, numbered)| numbered.as_ref());
    let padded: HashSet<Shape> =
        numbered().filter(|one| one.is_padded()).map(Numbered::padded).collect();
    let mut found: IndexMap<Shape, BTreeMap<u64, Placed>> = IndexMap::new();
    for (placed, numbered) in &split {
        let Some(one) = numbered else {
            sets.push((placed.0, placed.1.to_owned()));
            continue;
        };
        let shape = if padded.contains(&one.padded()) { one.padded() } else { one.plain() };
        found.entry(shape).or_default().entry(one.number).or_insert(*placed);
    }
    let mut alone = Vec::new();
    for (shape, numbers) in found {
        let first = numbers.values().map(|placed| placed.0).min().unwrap_or_default();
        match numbers.first_key_value() {
            Some((_, placed)) if numbers.len() == 1 => alone.push(*placed),
            _ => sets.push((first, shape.render(&ranges(numbers.keys().copied())))),
        }
    }
    alone
}

/// The `nth` number of a name, counted from the end.
fn nth_number(name: &str, nth: usize) -> Option<Numbered<'_>> {
    let is_digit = |character: char| character.is_ascii_digit();
    let mut end = name.len();
    for skipped in 0.. {
        end = name[..end].rfind(is_digit)? + 1;
        let before = name[..end].trim_end_matches(is_digit);
        let digits = &name[before.len()..end];
        if skipped < nth {
            end = before.len();
        } else if digits.len() <= MOST_DIGITS {
            let number = digits.parse().ok()?;
            return Some(Numbered { before, digits, number, after: &name[end..] });
        } else {
            return None;
        }
    }
    None
}

impl<'a> Numbered<'a> {
    fn is_padded(&self) -> bool {
        self.digits.len() > 1 && self.digits.starts_with('0')
    }

    fn padded(&self) -> Shape<'a> {
        Shape { before: self.before, after: self.after, width: Some(self.digits.len()) }
    }

    fn plain(&self) -> Shape<'a> {
        Shape { before: self.before, after: self.after, width: None }
    }
}

impl Shape<'_> {
    fn render(&self, ranges: &[(u64, u64)]) -> String {
        let width = self.width.unwrap_or(0);
        let range = |&(first, last): &(u64, u64)| {
            if first == last {
                format!("{first:0width$}")
            } else {
                format!("{first:0width$}-{last:0width$}")
            }
        };
        let ranges: Vec<String> = ranges.iter().map(range).collect();
        format!("{}[{}]{}", self.before, ranges.join(","), self.after)
    }
}

/// The first and last number of each run of ascending numbers.
fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn folds(names: &str, sets: &str) {
        assert_eq!(folded(names.split_whitespace()), sets, "{names}");
    }

    #[test]
    fn numbers_become_ranges_and_lists() {
        folds("web1 web2 web3 web7", "web[1-3,7]");
        folds("web7", "web7");
        folds("web2 web1", "web[1-2]");
        folds("web9 web10 web11", "web[9-11]");
        folds("7 8", "[7-8]");
        folds("", "");
        folds("web1 web1", "web1");
    }

    #[test]
    fn zeros_are_kept_and_other_widths_are_other_sets() {
        folds("web01 web02 web09 web10", "web[01-02,09-10]");
        folds("web1 web01 web2 web02", "web[1-2], web[01-02]");
        folds("web1 web01", "web1, web01");
        folds("web00 web01", "web[00-01]");
        folds("web0 web1", "web[0-1]");
        folds("web099 web100 web1", "web[099-100], web1");
    }

    #[test]
    fn sets_are_in_the_order_of_their_first_names() {
        folds("web1 db1 gateway web2 db2", "web[1-2], db[1-2], gateway");
        folds("db web1", "db, web1");
    }

    #[test]
    fn the_last_number_is_folded_or_else_the_one_before() {
        folds("r1n1 r1n2 r1n4 r2n1", "r1n[1-2,4], r2n1");
        folds("r1n1 r2n1", "r[1-2]n1");
        folds("web1.dc1.example web2.dc1.example", "web[1-2].dc1.example");
        folds("web1-a web2-a", "web[1-2]-a");
    }

    #[test]
    fn a_number_too_long_for_an_integer_is_text() {
        let long = "9".repeat(40);
        folds(&format!("web{long} web1"), &format!("web{long}, web1"));
    }
}
