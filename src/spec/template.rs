//! Templates in suites: `${{ vm.address }}`. Only this file names minijinja.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Rest, Value as Rendered, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, context, filters, tests};
use serde::Serialize;
use serde_json::{Map, Value};

use super::delimiters::{CLOSE, OPEN};
use super::inventory::{Inventory, Vm};
use super::jq_text::ends_in_quotes;
use super::pieces::{Piece, pieces};
use crate::problem::did_you_mean;
use crate::shell::bare::{Spot, Unsure, spots};

const FILTERS_HINT: &str = "docs/suite.md has the list of filters, such as default, first, int, \
                            join, last, length, lower, replace, sort, upper and raw";

/// How much text a template can become, and a filter can read.
const MOST_TEXT: usize = 1 << 20;

/// What a rendered text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Text, a number, or a list.
    Text,
    /// A shell command: each value is quoted, unless the template says `| raw`.
    Command,
    /// A regular expression: each value means itself, unless the template says `| raw`.
    Pattern,
    /// A jq program: a value is JSON, unless the template says `| raw`.
    Jq,
}

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateMistake {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether other values could make it right.
    pub depends_on_values: bool,
}

/// The templates of a suite.
#[derive(Debug, Clone)]
pub(super) struct Templates {
    environment: Environment<'static>,
    /// Where the values of a command stand, if it has no `| raw`.
    spots: HashMap<String, Vec<Spot>>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        add_filters(&mut environment);
        add_tests(&mut environment);
        Self { environment, spots: HashMap::new() }
    }
}

/// Only filters that make sense for values of a VM, and whose results are not much larger than what
/// they are given.
fn add_filters(environment: &mut Environment) {
    environment.add_filter("raw", raw);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    for (name, filter) in [
        ("abs", Rendered::from_function(filters::abs)),
        ("attr", Rendered::from_function(filters::attr)),
        ("bool", Rendered::from_function(filters::bool)),
        ("capitalize", Rendered::from_function(filters::capitalize)),
        ("count", Rendered::from_function(filters::length)),
        ("dictsort", Rendered::from_function(filters::dictsort)),
        ("first", Rendered::from_function(filters::first)),
        ("float", Rendered::from_function(filters::float)),
        ("int", Rendered::from_function(filters::int)),
        ("items", Rendered::from_function(filters::items)),
        ("join", Rendered::from_function(filters::join)),
        ("last", Rendered::from_function(filters::last)),
        ("length", Rendered::from_function(filters::length)),
        ("lines", Rendered::from_function(filters::lines)),
        ("list", Rendered::from_function(filters::list)),
        ("lower", Rendered::from_function(filters::lower)),
        ("map", Rendered::from_function(filters::map)),
        ("max", Rendered::from_function(filters::max)),
        ("min", Rendered::from_function(filters::min)),
        ("reject", Rendered::from_function(filters::reject)),
        ("rejectattr", Rendered::from_function(filters::rejectattr)),
        ("replace", Rendered::from_function(filters::replace)),
        ("reverse", Rendered::from_function(filters::reverse)),
        ("round", Rendered::from_function(filters::round)),
        ("select", Rendered::from_function(filters::select)),
        ("selectattr", Rendered::from_function(filters::selectattr)),
        ("sort", Rendered::from_function(filters::sort)),
        ("split", Rendered::from_function(filters::split)),
        ("string", Rendered::from_function(filters::string)),
        ("sum", Rendered::from_function(filters::sum)),
        ("title", Rendered::from_function(filters::title)),
        ("trim", Rendered::from_function(filters::trim)),
        ("unique", Rendered::from_function(filters::unique)),
        ("upper", Rendered::from_function(filters::upper)),
    ] {
        let limited = move |state: &State, value: &Rendered, rest: Rest<Rendered>| {
            let mut arguments = vec![value.clone()];
            arguments.extend(rest.0);
            check_size(name, &arguments)?;
            filter.call(state, &arguments)
        };
        environment.add_filter(name, limited);
    }
}

fn add_tests(environment: &mut Environment) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("string", tests::is_string);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("divisibleby", tests::is_divisibleby);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("in", tests::is_in);
    for name in ["eq", "equalto", "=="] {
        environment.add_test(name, tests::is_eq);
    }
    for name in ["ne", "!="] {
        environment.add_test(name, tests::is_ne);
    }
    for name in ["lt", "lessthan", "<"] {
        environment.add_test(name, tests::is_lt);
    }
    for name in ["le", "<="] {
        environment.add_test(name, tests::is_le);
    }
    for name in ["gt", "greaterthan", ">"] {
        environment.add_test(name, tests::is_gt);
    }
    for name in ["ge", ">="] {
        environment.add_test(name, tests::is_ge);
    }
}

/// The end of an expression was `| raw`. A value that is made from this one is not raw.
#[derive(Debug)]
struct Raw(String);

impl Object for Raw {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// `| raw`: this value becomes a part of the text as it is.
fn raw(value: &Rendered) -> Result<Rendered, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(Rendered::from_object(Raw(shown(value)?)))
}

/// `| default(x)`: also instead of null.
fn default(state: &State, value: &Rendered, arguments: Rest<Rendered>) -> Result<Rendered, Error> {
    let absent = if value.is_none() { Rendered::UNDEFINED } else { value.clone() };
    filters::default(state, &absent, arguments)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Filters read no huge values, and those that could multiply a text do not.
fn check_size(filter: &str, arguments: &[Rendered]) -> Result<(), Error> {
    for argument in arguments {
        size(argument)?;
    }
    let texts: Vec<usize> =
        arguments.iter().map(|text| text.as_str().map_or(0, str::len)).collect();
    let most = match (filter, texts.as_slice()) {
        ("join", [_, joiner, ..]) => size(&arguments[0])? * joiner,
        ("replace", [text, from, to, ..]) => (text + 1) / from.max(&1) * to,
        ("map", [_, filter, ..]) if *filter > 0 => {
            return Err(invalid("`map` can only read an attribute: map(attribute='name')"));
        }
        _ => 0,
    };
    if most > MOST_TEXT { Err(too_much()) } else { Ok(()) }
}

fn too_much() -> Error {
    invalid("the value has more than a million characters or items")
}

/// The characters and items in a value; an error if there are too many.
fn size(value: &Rendered) -> Result<usize, Error> {
    fn count(value: &Rendered, left: usize) -> Option<usize> {
        if let Some(text) = value.as_str() {
            return left.checked_sub(text.len() + 1);
        }
        let Ok(items) = value.try_iter() else { return left.checked_sub(1) };
        let is_map = value.kind() == ValueKind::Map;
        items.into_iter().try_fold(left.checked_sub(1)?, |left, item| {
            let left = count(&item, left)?;
            let of_key = is_map.then(|| value.get_item(&item).ok()).flatten();
            of_key.map_or(Some(left), |value| count(&value, left))
        })
    }
    count(value, MOST_TEXT).map(|left| MOST_TEXT - left).ok_or_else(too_much)
}

/// The value as text: truth values as JSON writes them.
fn shown(value: &Rendered) -> Result<String, Error> {
    size(value)?;
    match value.kind() {
        ValueKind::None => Err(invalid("the value is null")),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            Err(invalid("a list or an object cannot be part of a text"))
        }
        ValueKind::Bool => Ok(value.is_true().to_string()),
        _ => Ok(value.to_string()),
    }
}

/// The value as one word of the shell; a list as several.
fn words(value: &Rendered, spot: Spot) -> Result<String, Error> {
    match (value.kind(), spot) {
        (ValueKind::Seq | ValueKind::Iterable, Spot::Word) => {
            Err(invalid("a list can only be whole arguments of a program, or the list of `for`"))
        }
        (ValueKind::Seq | ValueKind::Iterable, Spot::Words) => {
            size(value)?;
            let words: Result<Vec<String>, Error> =
                value.try_iter()?.map(|item| words(&item, Spot::Word)).collect();
            let words = words?;
            if words.is_empty() { Err(invalid("the list is empty")) } else { Ok(words.join(" ")) }
        }
        (ValueKind::Map, _) => Err(invalid("an object cannot be part of a command")),
        _ => quoted(&shown(value)?),
    }
}

/// A text as one word of any shell: in fish, a backslash between single quotes is special.
fn quoted(text: &str) -> Result<String, Error> {
    const RESERVED: [&str; 24] = [
        "if", "then", "elif", "else", "fi", "case", "esac", "for", "while", "until", "do", "done",
        "in", "function", "select", "time", "coproc", "end", "switch", "repeat", "foreach",
        "begin", "not", "and",
    ];
    if text.contains('\0') {
        return Err(invalid("the value contains NUL"));
    }
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_safe) && !RESERVED.contains(&text) {
        return Ok(text.to_owned());
    }
    let quoted = text.replace('\'', "'\"'\"'").replace('\\', "'\"\\\\\"'");
    let word = format!("'{quoted}'");
    let without_empty = word.replace("''", "");
    Ok(if without_empty.is_empty() { "''".to_owned() } else { without_empty })
}

impl Templates {
    /// Looks at a text with templates.
    pub fn add(&mut self, target: Target, text: &str) -> Result<(), TemplateMistake> {
        let pieces = read(text)?;
        for piece in &pieces {
            if let Piece::Expression(expression) = piece {
                self.environment
                    .compile_expression(expression)
                    .map_err(|error| TemplateMistake::of_syntax(&error))?;
            }
        }
        // Which values are raw shows only when they are known.
        if target == Target::Command && !text.contains("raw") {
            let values = vec![None; pieces.len()];
            let found = spots_of(&pieces, &values).map_err(TemplateMistake::of_place)?;
            self.spots.insert(text.to_owned(), found);
        }
        Ok(())
    }

    /// The value of a text that was added. A text that is one template and nothing else can become
    /// a list or an object.
    pub fn render(
        &self,
        target: Target,
        text: &str,
        scope: &Scope,
    ) -> Result<Value, TemplateMistake> {
        let pieces = read(text)?;
        let mut values = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            values.push(match piece {
                Piece::Text(_) => None,
                Piece::Expression(expression) => Some(self.eval(expression, scope)?),
            });
        }
        let written = |error: Error| TemplateMistake::of_value(&error);
        if let (Some(value), Target::Text) = (only_value(&pieces, &values), target) {
            return whole(value).map_err(written);
        }
        let rendered = match target {
            Target::Text => joined(&pieces, &values, |value, _| shown(value)),
            Target::Pattern => {
                joined(&pieces, &values, |value, _| shown(value).map(|text| regex::escape(&text)))
            }
            Target::Jq => jq(&pieces, &values),
            Target::Command => return self.command(text, &pieces, &values),
        };
        rendered.map(Value::String).map_err(written)
    }

    fn eval(&self, expression: &str, scope: &Scope) -> Result<Rendered, TemplateMistake> {
        let explain = |error: &Error| self.explain(expression, scope, error);
        let compiled = self.environment.compile_expression(expression);
        let value = compiled.and_then(|compiled| compiled.eval(&scope.0));
        match value.map_err(|error| explain(&error))? {
            value if value.is_undefined() => Err(explain(&ErrorKind::UndefinedError.into())),
            value => Ok(value),
        }
    }

    fn command(
        &self,
        text: &str,
        pieces: &[Piece],
        values: &[Option<Rendered>],
    ) -> Result<Value, TemplateMistake> {
        let found = match self.spots.get(text) {
            Some(spots) => spots.clone(),
            None => spots_of(pieces, values).map_err(TemplateMistake::of_place)?,
        };
        let mut found = found.into_iter();
        let command =
            joined(pieces, values, |value, _| words(value, found.next().unwrap_or(Spot::Word)));
        command.map(Value::String).map_err(|error| TemplateMistake::of_value(&error))
    }

    /// Whether a text that was added uses this name.
    pub fn uses(&self, text: &str, name: &str) -> bool {
        let uses = |piece: &Piece| match piece {
            Piece::Text(_) => false,
            Piece::Expression(expression) => self.names(expression, false).contains(name),
        };
        pieces(text).is_ok_and(|pieces| pieces.iter().any(uses))
    }

    fn names(&self, expression: &str, nested: bool) -> std::collections::HashSet<String> {
        let compiled = self.environment.compile_expression(expression);
        compiled.map(|compiled| compiled.undeclared_variables(nested)).unwrap_or_default()
    }

    fn explain(&self, expression: &str, scope: &Scope, error: &Error) -> TemplateMistake {
        if error.kind() != ErrorKind::UndefinedError {
            return TemplateMistake::of_value(error);
        }
        let mut names: Vec<String> = self.names(expression, true).into_iter().collect();
        // `vms.app-server` is read as `vms.app` minus `server`: the first of the two says more.
        names.sort_by_key(|name| (!name.contains("vms."), name.clone()));
        let unknown = names.iter().find_map(|name| scope.unknown(name));
        unknown.unwrap_or_else(|| TemplateMistake {
            message: format!("a name in `{OPEN}{expression}{CLOSE}` has no value"),
            hint: Some(
                "check the names of its keys; `bootproof schema suite` lists them".to_owned(),
            ),
            depends_on_values: true,
        })
    }
}

fn read(text: &str) -> Result<Vec<Piece<'_>>, TemplateMistake> {
    pieces(text).map_err(|why| TemplateMistake::unreadable(&why))
}

/// The value of a text that is one template and nothing else.
fn only_value<'a>(pieces: &[Piece], values: &'a [Option<Rendered>]) -> Option<&'a Rendered> {
    let is_blank = |piece: &Piece| matches!(piece, Piece::Text(text) if text.trim().is_empty());
    let mut solid = pieces.iter().zip(values).filter(|(piece, _)| !is_blank(piece));
    let (_, value) = solid.next()?;
    value.as_ref().filter(|_| solid.next().is_none())
}

fn whole(value: &Rendered) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            size(value)?;
            serde_json::to_value(value).map_err(|error| invalid(error.to_string()))
        }
        _ => shown(value).map(Value::String),
    }
}

/// The text of the pieces; `show` writes the values that are not raw, after the text before them.
fn joined(
    pieces: &[Piece],
    values: &[Option<Rendered>],
    mut show: impl FnMut(&Rendered, &str) -> Result<String, Error>,
) -> Result<String, Error> {
    let mut all = String::new();
    for (piece, value) in pieces.iter().zip(values) {
        match (piece, value) {
            (Piece::Text(text), _) => all += text,
            (_, Some(value)) => match value.downcast_object_ref::<Raw>() {
                Some(raw) => all += &raw.0,
                None => all += &show(value, &all)?,
            },
            (_, None) => {}
        }
        if all.len() > 4 * MOST_TEXT {
            return Err(too_much());
        }
    }
    Ok(all)
}

/// Where the values of a command stand that are not raw. A value that is not known yet is not.
fn spots_of(pieces: &[Piece], values: &[Option<Rendered>]) -> Result<Vec<Spot>, Unsure> {
    const MARK: &str = "bootproofvalue";
    let (mut command, mut marks) = (String::new(), Vec::new());
    for (piece, value) in pieces.iter().zip(values) {
        let raw = value.as_ref().and_then(|value| value.downcast_object_ref::<Raw>());
        match (piece, raw) {
            (Piece::Text(text), _) => command += text,
            (_, Some(raw)) => command += &raw.0,
            (_, None) => {
                marks.push(command.len()..command.len() + MARK.len());
                command += MARK;
            }
        }
    }
    if marks.is_empty() { Ok(Vec::new()) } else { spots(&command, &marks) }
}

/// A jq program. Between quotes, a value is text; elsewhere it is a number, a truth value, a list
/// or an object.
fn jq(pieces: &[Piece], values: &[Option<Rendered>]) -> Result<String, Error> {
    joined(pieces, values, |value, before| {
        if ends_in_quotes(before) {
            return shown(value).map(|text| {
                let json = Value::String(text).to_string();
                json[1..json.len() - 1].to_owned()
            });
        }
        if value.kind() == ValueKind::String {
            return Err(invalid("a text in a jq program needs quotes around the template"));
        }
        match whole(value)? {
            Value::String(scalar) => Ok(scalar),
            list => Ok(list.to_string()),
        }
    })
}

impl TemplateMistake {
    /// A value cannot stand at its place in a command.
    fn of_place(why: Unsure) -> Self {
        let why = match why {
            Unsure::Backquotes => "the command has backquotes, where a value could become code",
            Unsure::HereDocument => "the command has a here-document (`<<`)",
            Unsure::NoWord => {
                "it is inside quotes, a comment or an expansion, beside `\\`, `$`, `<` or `>`, or the \
                 command cannot be read"
            }
            Unsure::Evaluated => "the shell could evaluate the value as code there",
        };
        let hint = "bootproof quotes the value, so remove the quotes around it, and give it to a \
                    program as an argument of its own (awk -v x=${{ ... }}); if you trust the \
                    value, write `| raw`";
        Self {
            message: format!("this template is not a plain word of the command: {why}"),
            hint: Some(hint.to_owned()),
            depends_on_values: false,
        }
    }

    fn of_syntax(error: &Error) -> Self {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::unreadable(&why)
    }

    fn unreadable(why: &str) -> Self {
        Self {
            message: format!("this template cannot be read: {why}"),
            hint: Some(format!(
                "write `${{{{ vm.address }}}}`; `{OPEN}` that is no template is `${{{{ '{OPEN}' }}}}`"
            )),
            depends_on_values: false,
        }
    }

    fn of_value(error: &Error) -> Self {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let hint = match why.as_str() {
            _ if error.kind() == ErrorKind::UnknownFilter => Some(FILTERS_HINT),
            "a list or an object cannot be part of a text" => {
                Some("join it: `| join(', ')`; or take one key of it")
            }
            "the value is null" => Some("give it a value, or write `| default('...')`"),
            "the list is empty" => {
                Some("a program without arguments can pass; give the list a value")
            }
            why if why.starts_with("a list can only") => Some("join it: `| join(',')`"),
            why if why.starts_with("a text in a jq program") => {
                Some("write \\\"${{ ... }}\\\"; for a number, write `| int`")
            }
            _ => None,
        };
        let hint = hint.map(str::to_owned);
        Self {
            message: format!("this template has no value: {why}"),
            hint,
            depends_on_values: !matches!(
                error.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest
            ),
        }
    }
}

/// The names that a template can use.
#[derive(Debug, Clone)]
pub(super) struct Scope(Rendered);

impl Scope {
    /// What is wrong with a name such as `vm.vars.port`; `None` if it has a value.
    fn unknown(&self, name: &str) -> Option<TemplateMistake> {
        let mut value = self.0.clone();
        let mut known = String::new();
        for part in name.split('.') {
            let next = value.get_attr(part).ok().filter(|next| !next.is_undefined());
            let Some(next) = next else { return Some(unknown(&known, part, &value)) };
            value = next;
            known = if known.is_empty() { part.to_owned() } else { format!("{known}.{part}") };
        }
        None
    }
}

/// `part` is unknown in `known`, which has this value.
fn unknown(known: &str, part: &str, value: &Rendered) -> TemplateMistake {
    let full = if known.is_empty() { part.to_owned() } else { format!("{known}.{part}") };
    let keys: Vec<String> = value
        .try_iter()
        .map(|keys| keys.filter_map(|key| key.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if known == "vm" && VM_NAMES.contains(&part) {
        return TemplateMistake {
            message: format!("`{full}` has no value: the VM has no `{part}` in the inventory"),
            hint: Some(format!("add it there, or write `{full} | default('...')`")),
            depends_on_values: true,
        };
    }
    let with_hyphen = keys.iter().find(|key| key.starts_with(&format!("{part}-")));
    let meant = did_you_mean(part, keys.iter().map(String::as_str));
    let prefix = if known.is_empty() { String::new() } else { format!("{known}.") };
    let hint = match (with_hyphen, meant) {
        (Some(key), _) => format!("`-` means minus; write `{known}['{key}']`"),
        (None, Some(meant)) => format!("did you mean `{prefix}{meant}`?"),
        (None, None) if known == "vars" => {
            "give it a default in the `vars` of the suite, or set it with --var".to_owned()
        }
        (None, None) if keys.is_empty() && known.ends_with("vars") => {
            "add it to the `vars` of the VM, of its groups or of the lab in the inventory"
                .to_owned()
        }
        (None, None) if keys.is_empty() => "it has no keys".to_owned(),
        (None, None) => format!("use one of: {}", short_list(&keys)),
    };
    TemplateMistake {
        message: format!("unknown name `{full}`"),
        hint: Some(hint),
        depends_on_values: known.ends_with("vars") || known.starts_with("each"),
    }
}

fn short_list(keys: &[String]) -> String {
    const MOST: usize = 12;
    let shown = keys.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if keys.len() > MOST { format!("{shown}, ...") } else { shown }
}

/// The names in `vm`.
const VM_NAMES: [&str; 9] =
    ["name", "address", "role", "memory_gb", "disk_gb", "ports", "udp_ports", "groups", "vars"];

/// What a template can see of a VM: no secret, and nothing of the login.
#[derive(Serialize)]
struct VmNames<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_gb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_gb: Option<u32>,
    ports: Vec<u16>,
    udp_ports: Vec<u16>,
    groups: &'a [String],
    vars: &'a Map<String, Value>,
}

/// Everything that templates can use, for all VMs.
#[derive(Debug, Clone)]
pub(super) struct Names {
    vms: Rendered,
    lab: Rendered,
    vars: Rendered,
}

impl Names {
    /// The names of an inventory, and the values of a suite.
    pub fn new(inventory: &Inventory, vars: &Map<String, Value>) -> Self {
        let vms = inventory.vms.values();
        Self {
            vms: vms.map(|vm| (vm.name.clone(), names_of(vm))).collect(),
            lab: context! { name => &inventory.lab, vars => Rendered::from_serialize(&inventory.vars) },
            vars: set_values(vars),
        }
    }

    /// Names that have a value of the right kind, for looking at a suite without an inventory.
    pub fn sample(vars: &Map<String, Value>) -> Self {
        let any = Rendered::from_object(Any);
        let vars = vars.iter().map(|(key, value)| {
            let value = if value.is_null() { any.clone() } else { Rendered::from_serialize(value) };
            (key.clone(), value)
        });
        Self {
            vms: Rendered::from_object(AnyVm),
            lab: context! { name => "lab", vars => any },
            vars: vars.collect(),
        }
    }

    /// The scope of an assertion on `vm`.
    pub fn on(&self, vm: &str, each: &Map<String, Value>) -> Scope {
        let vm = self.vms.get_attr(vm).unwrap_or_default();
        let each = if each.is_empty() {
            context! {}
        } else {
            context! { each => Rendered::from_serialize(each) }
        };
        let (vms, lab, vars) = (&self.vms, &self.lab, &self.vars);
        Scope(context! { vm, vms, lab, vars, ..each })
    }
}

fn names_of(vm: &Vm) -> Rendered {
    let ports = |ports: &[std::num::NonZeroU16]| ports.iter().map(|port| port.get()).collect();
    Rendered::from_serialize(VmNames {
        name: &vm.name,
        address: vm.address.as_deref(),
        role: vm.role.as_deref(),
        memory_gb: vm.memory_gb,
        disk_gb: vm.disk_gb,
        ports: ports(&vm.ports),
        udp_ports: ports(&vm.udp_ports),
        groups: &vm.groups,
        vars: &vm.vars,
    })
}

/// A value that the suite names and nobody has set is as good as unknown.
fn set_values(vars: &Map<String, Value>) -> Rendered {
    let set = vars.iter().filter(|(_, value)| !value.is_null());
    set.map(|(key, value)| (key.clone(), Rendered::from_serialize(value))).collect()
}

/// A value that nobody knows yet; `1` is a text, a number, a duration and a name.
#[derive(Debug)]
struct Any;

impl Object for Any {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Rendered) -> Option<Rendered> {
        Some(Rendered::from_object(Self))
    }

    fn render(self: &Arc<Self>, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("1")
    }
}

/// Any VM, by any name.
#[derive(Debug)]
struct AnyVm;

impl Object for AnyVm {
    fn get_value(self: &Arc<Self>, name: &Rendered) -> Option<Rendered> {
        let one = [1_u16];
        Some(context! {
            name => name,
            // Addresses for documentation (RFC 5737).
            address => "192.0.2.1",
            role => "role",
            memory_gb => 1,
            disk_gb => 1,
            ports => one,
            udp_ports => one,
            groups => ["group"],
            vars => Rendered::from_object(Any),
        })
    }
}
