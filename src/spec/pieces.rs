//! Splits a text into its templates and what is between them, and refuses expressions whose values
//! could be huge. A template ends where its brackets and quotes are closed.

use super::delimiters::{CLOSE, OPEN};

/// How many characters an expression can have.
const LONGEST: usize = 1000;

/// How often `*` can repeat a text or a list.
const MOST_OFTEN: f64 = 1_100_000.0;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it is.
    Text(&'a str),
    /// The expression in a template.
    Expression(&'a str),
}

/// The parts of a text, or why they cannot be read.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let template = &rest[at + OPEN.len()..];
        let expression = Expression::read(template)?;
        expression.check()?;
        pieces.push(Piece::Expression(expression.text));
        rest = &template[expression.text.len() + CLOSE.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

struct Expression<'a> {
    text: &'a str,
    /// Without the content of its quotes.
    bare: String,
    has_step: bool,
}

impl<'a> Expression<'a> {
    /// Reads up to the end of a template.
    fn read(template: &'a str) -> Result<Self, String> {
        let (mut bare, mut has_step) = (String::new(), false);
        let (mut quote, mut escaped) = (None, false);
        // The open brackets, and how many colons each has.
        let mut open: Vec<(char, usize)> = Vec::new();
        for (at, character) in template.char_indices() {
            if let Some(end) = quote {
                if !escaped && character == end {
                    quote = None;
                }
                escaped = !escaped && character == '\\';
                continue;
            }
            if open.is_empty() && template[at..].starts_with(CLOSE) {
                return Ok(Self { text: &template[..at], bare, has_step });
            }
            bare.push(character);
            match character {
                '"' | '\'' => quote = Some(character),
                '(' | '[' | '{' => open.push((character, 0)),
                ')' | ']' | '}' => drop(open.pop()),
                ':' => {
                    if let Some(('[', colons)) = open.last_mut() {
                        *colons += 1;
                        has_step |= *colons > 1;
                    }
                }
                _ => {}
            }
        }
        Err(format!("it has no end `{CLOSE}`"))
    }

    fn check(&self) -> Result<(), String> {
        let is_sign = |c: char| c == '-' || c == '+';
        if self.text.starts_with(is_sign) || self.text.ends_with(is_sign) {
            let message = "it cannot remove blanks around it; write a blank after `${{`, and none \
                           of `-` and `+` beside the braces";
            return Err(message.to_owned());
        }
        if self.text.chars().nth(LONGEST).is_some() {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        if self.has_step {
            return Err("a slice cannot have a step; write [from:to]".to_owned());
        }
        self.check_repetition()
    }

    /// `*` also repeats texts and lists, and only a literal number shows how often.
    fn check_repetition(&self) -> Result<(), String> {
        let bare = self.bare.replace("**", "  ");
        let factors: Vec<&str> = bare.split('*').collect();
        if factors.len() == 1 {
            return Ok(());
        }
        let mut product = 1.0;
        let mut is_taken = false;
        for (left, right) in factors.iter().zip(&factors[1..]) {
            let before = number_at_end(left).filter(|_| !is_taken);
            let factor = before.or_else(|| number_at_begin(right));
            is_taken = before.is_none() && number(right.trim()).is_some();
            product *= factor.ok_or("beside `*` there must be a number")?;
        }
        if product > MOST_OFTEN {
            return Err(format!("the factors beside `*` are more than {MOST_OFTEN}"));
        }
        let mut words = bare.split(|c: char| !c.is_alphanumeric() && c != '_');
        if bare.contains('~') || words.any(|word| word == "in") {
            return Err("an expression with `*` cannot use `~` or `in`".to_owned());
        }
        Ok(())
    }
}

fn number_at_end(text: &str) -> Option<f64> {
    let is_part = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
    let word = text.trim_end().rsplit(|c: char| !is_part(c)).next()?;
    number(word)
}

fn number_at_begin(text: &str) -> Option<f64> {
    let is_part = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
    let word = text.trim_start().split(|c: char| !is_part(c)).next()?;
    number(word)
}

fn number(word: &str) -> Option<f64> {
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.replace('_', "").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_ends_where_its_quotes_and_brackets_are_closed() {
        for expression in
            [" x ", " '}}' ", " \"a\\\"}}\" ", " {'a': {'b': 1}} ", " '${{' ", " x[1:2] ", " -1 "]
        {
            let text = format!("a${{{{{expression}}}}}b");
            let read = pieces(&text).unwrap();
            let expected = [Piece::Text("a"), Piece::Expression(expression), Piece::Text("b")];
            assert_eq!(read, expected, "{text}");
        }
        assert_eq!(pieces("${x} {{.Go}}").unwrap(), [Piece::Text("${x} {{.Go}}")]);
    }

    #[test]
    fn what_could_be_huge_or_misread_is_refused() {
        let long = "x ".repeat(501);
        for (expression, message) in [
            (" x ", None),
            (" vm.memory_gb * 1024 * 1024 ", None),
            (" 'a * b' ~ x ", None),
            ("- x ", Some("it cannot remove blanks")),
            (" x -", Some("it cannot remove blanks")),
            ("+ x ", Some("it cannot remove blanks")),
            (" x[::-1] ", Some("a slice cannot have a step")),
            (" x[a['b']:1:2] ", Some("a slice cannot have a step")),
            (" x * 5 * y ", Some("beside `*` there must be a number")),
            (" 5 * 5 + x * y ", Some("beside `*` there must be a number")),
            (" x * y ", Some("beside `*` there must be a number")),
            (" [1] * 1000 * 10000 ", Some("the factors beside `*`")),
            (" ([1] * 1000) ~ '' ", Some("an expression with `*`")),
            (long.as_str(), Some("it is longer than 1000")),
        ] {
            let text = format!("${{{{{expression}}}}}");
            match (pieces(&text), message) {
                (Ok(_), None) => {}
                (Err(error), Some(message)) => assert!(error.starts_with(message), "{error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(pieces("ls ${{ x").is_err());
        assert!(pieces("ls ${{ 'x }}").is_err());
    }
}
