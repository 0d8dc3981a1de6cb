//! Reads YAML 1.2: what JSON can say, with comments, block style and aliases.
//!
//! Whatever means something else than it seems to mean is refused: tags, merge keys, numbers such
//! as `0750`, keys that are not text, and several documents.

mod mistake;
mod scalar;
mod secret;

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::other_format;
use super::tree::{Key, Place, Tree, Walk, join, wipe};
use crate::problem::{Problem, Problems};

/// How much the aliases of a file may repeat, in values and bytes. A few lines of aliases of
/// aliases would otherwise fill the memory.
const REPEATED: usize = 1_000_000;

/// Parses a text; `file` only names it in messages.
pub(super) fn parse(file: &str, text: &str) -> Result<Tree, Problems> {
    let mut reader = Reader {
        file,
        text,
        events: Parser::new_from_str(text),
        walk: Walk::new(file),
        anchors: Anchors::default(),
        repeated: 0,
    };
    let value = reader.file()?;
    reader.walk.finish(value)
}

/// An event and its place.
type Placed<'a> = (Event<'a>, Place);

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    walk: Walk<'a>,
    anchors: Anchors,
    /// What the aliases have repeated so far.
    repeated: usize,
}

impl<'a> Reader<'a> {
    fn file(&mut self) -> Result<Value, Problem> {
        let (first, place) = loop {
            match self.event()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd, _) => return Err(other_format::empty(self.file)),
                event => break event,
            }
        };
        self.walk.note("", place);
        let value = self.value("", (first, place))?;
        self.end()?;
        Ok(value)
    }

    /// After the document, the file must end.
    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.event()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, place) => {
                    let hint = "remove the `---`, or write it into a file of its own";
                    let problem = self.walk.problem(place, "a second document begins here");
                    return Err(problem.hint(hint));
                }
            }
        }
    }

    fn event(&mut self) -> Result<Placed<'a>, Problem> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, place(span))),
            Some(Err(error)) => Err(mistake::explain(self.file, self.text, &error)),
            None => Ok((Event::StreamEnd, (1, 1))),
        }
    }

    fn value(&mut self, path: &str, (event, place): Placed<'a>) -> Result<Value, Problem> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(path, place, tag.as_deref())?;
                let read = scalar::read(text, style);
                let value = read.map_err(|problem| self.unclear(path, place, problem))?;
                (value, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(path, place, tag.as_deref())?;
                (self.list(path, place)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(path, place, tag.as_deref())?;
                (self.object(path, place)?, anchor)
            }
            Event::Alias(anchor) => return self.repeat(path, place, anchor),
            _ => return Err(self.walk.problem(place, "a value is missing here")),
        };
        self.anchors.keep(anchor, &value);
        Ok(value)
    }

    /// A problem with a scalar; a message must not show a secret.
    fn unclear(&self, path: &str, place: Place, found: Problem) -> Problem {
        let found = if secret::is_secret(path) {
            Problem::new("a secret must be text").hint("put it in quotes")
        } else {
            found
        };
        let Problem { message, hint, .. } = found;
        Problem { path: path.to_owned(), hint, ..self.walk.problem(place, message) }
    }

    fn list(&mut self, path: &str, place: Place) -> Result<Value, Problem> {
        self.walk.enter(path, place, 0)?;
        let mut items = Vec::new();
        loop {
            let event = self.event()?;
            if event.0 == Event::SequenceEnd {
                break;
            }
            let below = format!("{path}[{}]", items.len());
            self.walk.note(&below, event.1);
            items.push(self.value(&below, event)?);
        }
        self.walk.leave();
        Ok(Value::Array(items))
    }

    fn object(&mut self, path: &str, place: Place) -> Result<Value, Problem> {
        self.walk.enter(path, place, 0)?;
        let mut read = Map::new();
        loop {
            let event = self.event()?;
            if event.0 == Event::MappingEnd {
                break;
            }
            let place = event.1;
            let name = self.key(path, event)?;
            let is_new = self.walk.is_new_key(&read, path, Key { name: &name, place });
            let event = self.event()?;
            let value = self.value(&join(path, &name), event)?;
            if is_new {
                read.insert(name, value);
            }
        }
        self.walk.leave();
        Ok(Value::Object(read))
    }

    fn key(&mut self, path: &str, (event, place): Placed<'a>) -> Result<String, Problem> {
        let wrong = |message: String, hint: &str| {
            let problem = self.walk.problem(place, message).hint(hint);
            Err(Problem { path: path.to_owned(), ..problem })
        };
        let Event::Scalar(text, style, anchor, tag) = event else {
            let hint = "put a text that contains `{`, `[` or `*` in quotes";
            return wrong("a key must be text".to_owned(), hint);
        };
        if style == ScalarStyle::Plain && text == "<<" {
            let message = "merge keys (`<<`) are not a part of YAML 1.2".to_owned();
            return wrong(message, "write the keys out, or repeat a whole value with `*alias`");
        }
        self.refuse_tag(path, place, tag.as_deref())?;
        let written = text.to_string();
        match scalar::read(text, style) {
            Ok(Value::String(name)) => {
                self.anchors.keep(anchor, &Value::String(name.clone()));
                Ok(name)
            }
            Ok(Value::Null) => {
                wrong("a key is missing before `:`".to_owned(), "write `key: value`")
            }
            _ => wrong(
                format!("a key must be text, and `{written}` is not"),
                &format!("put it in quotes: \"{written}\""),
            ),
        }
    }

    fn refuse_tag(&self, path: &str, place: Place, tag: Option<&Tag>) -> Result<(), Problem> {
        let Some(tag) = tag else { return Ok(()) };
        let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
        let tag = format!("{handle}{}", tag.suffix);
        let tag =
            if secret::is_secret(path) { "`!`".to_owned() } else { format!("such as `{tag}`") };
        let problem = self.walk.problem(place, format!("tags {tag} are not supported"));
        let hint = "put it in quotes if it is text; a secret is { env: NAME } or { file: PATH }";
        Err(Problem { path: path.to_owned(), ..problem.hint(hint) })
    }

    /// The value of an anchor once more.
    fn repeat(&mut self, path: &str, place: Place, anchor: usize) -> Result<Value, Problem> {
        let Some(value) = self.anchors.0.get(&anchor) else {
            let message = "this alias is inside the value that it repeats";
            let problem = self.walk.problem(place, message).hint("write the value out");
            return Err(Problem { path: path.to_owned(), ..problem });
        };
        let Size { amount, levels } = Size::of(value);
        self.repeated += amount;
        if self.repeated > REPEATED {
            let message = "the aliases of this file repeat too much";
            let hint = "an alias of a value with aliases grows quickly; write fewer of them";
            let problem = self.walk.problem(place, message).hint(hint);
            return Err(Problem { path: path.to_owned(), ..problem });
        }
        if levels > 0 {
            self.walk.enter(path, place, levels - 1)?;
            self.walk.leave();
        }
        Ok(value.clone())
    }
}

/// Line and column, both from 1; the parser counts columns from 0.
fn place(span: Span) -> Place {
    (span.start.line(), span.start.col() + 1)
}

/// The values of anchors, by the number that the parser gives them. Any of them can be a password.
#[derive(Default)]
struct Anchors(HashMap<usize, Value>);

impl Anchors {
    /// 0 is no anchor.
    fn keep(&mut self, anchor: usize, value: &Value) {
        if anchor > 0 {
            self.0.insert(anchor, value.clone());
        }
    }
}

impl Drop for Anchors {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// How large a value is.
struct Size {
    /// Values and bytes.
    amount: usize,
    /// Lists and objects within each other.
    levels: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self { amount: 1 + text.len(), levels: 0 },
            Value::Array(items) => Self::around(items.iter().map(Self::of)),
            Value::Object(items) => Self::around(items.iter().map(|(name, value)| {
                let Self { amount, levels } = Self::of(value);
                Self { amount: amount + name.len(), levels }
            })),
            _ => Self { amount: 1, levels: 0 },
        }
    }

    fn around(content: impl Iterator<Item = Self>) -> Self {
        content.fold(Self { amount: 1, levels: 1 }, |all, one| Self {
            amount: all.amount + one.amount,
            levels: all.levels.max(one.levels + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        parse("f.yaml", text).unwrap_or_else(|problems| panic!("{text}: {problems}")).value
    }

    fn refused(text: &str) -> (String, Place) {
        let problem = parse("f.yaml", text).unwrap_err().0.remove(0);
        (problem.message, problem.place.unwrap())
    }

    #[test]
    fn every_style_is_the_same_value() {
        let value = json!({"a": [1, {"b": "x y", "c": null}], "d": {}, "e": "1\n2\n"});
        for text in [
            "a:\n- 1\n- b: x y\n  c:\nd: {}\ne: |\n  1\n  2\n",
            "---\n# c\na: [1, {b: x y, c: }] # c\nd: {}\n\n'e': \"1\\n2\\n\"\n...\n",
            "{\"a\": [1, {\"b\": \"x y\", \"c\": null}], \"d\": {}, \"e\": \"1\\n2\\n\"}",
            "a:\n  - 1\n  -\n    b: x\n      y\n    c: ~\nd: {\n  }\ne: |+\n  1\n  2\n",
        ] {
            assert_eq!(read(text), value, "{text}");
        }
    }

    #[test]
    fn keys_and_values_have_places() {
        let text = "# c\n\u{fc}: [a, b]\nk:\n- x\n-   y: 1\n    z: 2\n";
        let places = parse("f.yaml", text).unwrap().places;
        let place = |path: &str| places[path];
        assert_eq!((place(""), place("\u{fc}"), place("\u{fc}[1]")), ((2, 1), (2, 1), (2, 8)));
        assert_eq!((place("k"), place("k[0]")), ((3, 1), (4, 3)));
        assert_eq!((place("k[1]"), place("k[1].z")), ((5, 5), (6, 5)));
    }

    #[test]
    fn an_alias_repeats_a_value_at_its_own_place() {
        let tree = parse("f.yaml", "a: &x [1, {b: 2}]\nc: *x\nd: [*x]\n").unwrap();
        assert_eq!(
            tree.value,
            json!({"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": [[1, {"b": 2}]]})
        );
        assert_eq!((tree.places["c"], tree.places["d[0]"]), ((2, 1), (3, 5)));
        assert_eq!(read("a: &x 1\nb: &x 2\nc: *x"), json!({"a": 1, "b": 2, "c": 2}));
    }

    #[test]
    fn aliases_that_grow_without_end_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert_eq!(refused(&text).0, "the aliases of this file repeat too much");
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), ["*a"; 11].join(", "));
        assert_eq!(refused(&long).0, "the aliases of this file repeat too much");
        let inside = ("this alias is inside the value that it repeats".to_owned(), (1, 9));
        assert_eq!(refused("a: &a [ *a ]"), inside);
    }

    #[test]
    fn nesting_is_bounded_in_every_style() {
        let flow = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let block = |depth| "- ".repeat(depth) + "x";
        for depth in [1, 127] {
            parse("f", &flow(depth)).unwrap();
            parse("f", &block(depth)).unwrap();
        }
        for depth in [128, 200, 300, 100_000] {
            let message = refused(&flow(depth)).0;
            assert!(message.contains("nested"), "{depth}: {message}");
            let message = refused(&block(depth.min(5_000))).0;
            assert!(message.contains("nested more than 127 deep"), "{depth}: {message}");
        }
        let (deep, around) = (flow(100), "[".repeat(28));
        let text = format!("a: &a {deep}\nb: {around}*a{}", "]".repeat(28));
        assert!(refused(&text).0.contains("nested"));
    }

    #[test]
    fn what_means_something_else_than_it_seems_to_is_refused() {
        for (text, message, place) in [
            ("a: !!binary aGk=", "tags such as `!!binary` are not supported", (1, 4)),
            ("a: !vault x", "tags such as `!vault` are not supported", (1, 4)),
            ("a: ! x", "tags such as `!` are not supported", (1, 4)),
            ("a: !!map {b: 1}", "tags such as `!!map` are not supported", (1, 4)),
            ("!!str a: 1", "tags such as `!!str` are not supported", (1, 1)),
            ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys (`<<`) are not a part of YAML 1.2", (3, 3)),
            ("1: a", "a key must be text, and `1` is not", (1, 1)),
            ("a: 1\ntrue: b", "a key must be text, and `true` is not", (2, 1)),
            (": a", "a key is missing before `:`", (1, 1)),
            ("? [a]\n: b", "a key must be text", (1, 3)),
            ("a: {{ b }}", "a key must be text", (1, 5)),
            ("a: &x b\n*x : c", "a key must be text", (2, 1)),
            ("a: 1\n---\nb: 2", "a second document begins here", (2, 1)),
            ("a: 0750", "unclear number `0750`", (1, 4)),
            ("a: [1, .inf]", "unclear number `.inf`", (1, 8)),
            ("password: 0123", "a secret must be text", (1, 11)),
            ("password: !Passw0rd", "tags `!` are not supported", (1, 11)),
            ("{a: {key_passphrase: !x y}}", "tags `!` are not supported", (1, 22)),
            ("password: *s3cr3t", "unknown alias", (1, 11)),
            ("a: {user: u, password: *s3cr3t}", "unknown alias", (1, 24)),
            ("password:\n  *s3cr3t", "unknown alias", (2, 3)),
            ("a: *b", "unknown alias `*b`", (1, 4)),
            ("a: 1\nb: 2\na: 3", "duplicate key `a`", (3, 1)),
            ("", "the file is empty", (1, 1)),
            ("# c\n", "the file is empty", (1, 1)),
        ] {
            assert_eq!(refused(text), (message.to_owned(), place), "{text}");
        }
    }
}
