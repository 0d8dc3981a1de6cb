//! What a number must be.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use super::judgement::Judgement;
use super::mistake::Mistake;

/// What a number must be; every part that is given must hold.
#[derive(Debug, Clone, Copy)]
pub struct NumberExpectation<'a> {
    /// It is this or more.
    pub at_least: Option<&'a Number>,
    /// It is this or less.
    pub at_most: Option<&'a Number>,
}

impl NumberExpectation<'_> {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.at_least.is_none() && self.at_most.is_none()
    }

    /// The expectation in words, such as `is at least 3`; empty if nothing is expected.
    pub fn describe(&self) -> String {
        let parts = [
            self.at_least.map(|least| format!("is at least {least}")),
            self.at_most.map(|most| format!("is at most {most}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// Mistakes that show without any number.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let (Some(least), Some(most)) = (self.at_least, self.at_most) else { return Vec::new() };
        if value(least) <= value(most) {
            return Vec::new();
        }
        let message = format!("no number is at least {least} and at most {most}");
        vec![Mistake::new("at_least", message).hint("swap `at_least` and `at_most`")]
    }

    /// Judges `text`, which must be a number; `what` names it in messages.
    pub fn judge(&self, what: &str, text: &str) -> Judgement {
        if self.is_empty() {
            return Judgement::Holds;
        }
        let expected = format!("{what} {}", self.describe());
        let Some(number) = parse(text) else {
            let message = format!("{what} is not a number: {:?}", shortened(text.trim()));
            return Judgement::differs(message, expected, text);
        };
        let written = text.trim();
        if let Some(least) = self.at_least.filter(|least| number < value(least)) {
            let message = format!("{what} is {written}, expected at least {least}");
            return Judgement::differs(message, expected, text);
        }
        if let Some(most) = self.at_most.filter(|most| number > value(most)) {
            let message = format!("{what} is {written}, expected at most {most}");
            return Judgement::differs(message, expected, text);
        }
        Judgement::Holds
    }
}

/// Reads a bound. `Number` itself asks for any value, so a template could not become one.
pub(super) fn read_bound<'de, D>(deserializer: D) -> Result<Option<Number>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<Bound>::deserialize(deserializer)?.map(|Bound(number)| number))
}

struct Bound(Number);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(BoundVisitor).map(Self)
    }
}

struct BoundVisitor;

impl Visitor<'_> for BoundVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        Number::from_f64(number).ok_or_else(|| E::custom("the number is not finite"))
    }
}

/// JSON has finite numbers only.
fn value(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// One number and nothing else; `df` prints a percent sign after it.
fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix('%').unwrap_or(text);
    let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(is_part) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let end = text.floor_char_boundary(SHOWN);
    if end == text.len() { text.to_owned() } else { format!("{}...", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(least: Option<f64>, most: Option<f64>, text: &str) -> Option<String> {
        let [least, most] = [least, most].map(|bound| bound.and_then(Number::from_f64));
        let expectation = NumberExpectation { at_least: least.as_ref(), at_most: most.as_ref() };
        match expectation.judge("output", text) {
            Judgement::Holds => None,
            Judgement::Differs(mismatch) => Some(mismatch.message),
            Judgement::Unclear(unclear) => panic!("{unclear:?}"),
        }
    }

    #[test]
    fn bounds_belong_to_the_range() {
        for text in ["3", " 3.0\n", "4", "83%", "9e1", "+90", "90\r\n"] {
            assert_eq!(message(Some(3.0), Some(90.0), text), None, "{text}");
        }
        assert_eq!(
            message(None, Some(90.0), "97%\n").unwrap(),
            "output is 97%, expected at most 90.0"
        );
        assert_eq!(
            message(Some(-1.0), None, "-1.5").unwrap(),
            "output is -1.5, expected at least -1.0"
        );
    }

    #[test]
    fn what_is_not_one_number_fails() {
        for text in
            ["", " ", "%", "3 4", "3\n4", "NaN", "inf", "-infinity", "1e999", "0x10", "3 GB"]
        {
            let message = message(Some(0.0), None, text).unwrap();
            assert!(message.starts_with("output is not a number: "), "{text}: {message}");
        }
        let long = message(Some(0.0), None, &"ä".repeat(100)).unwrap();
        assert!(long.ends_with("ä...\""), "{long}");
    }

    #[test]
    fn an_empty_range_is_a_mistake() {
        let [one, two] = [1, 2].map(Number::from);
        let wrong = NumberExpectation { at_least: Some(&two), at_most: Some(&one) };
        assert_eq!(wrong.mistakes()[0].message, "no number is at least 2 and at most 1");
        let right = NumberExpectation { at_least: Some(&one), at_most: Some(&one) };
        assert!(right.mistakes().is_empty());
    }
}
