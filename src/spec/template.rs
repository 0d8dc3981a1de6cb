//! Templates in suites: `${{ vm.address }}`. Only this file names minijinja.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Value as Rendered, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context};
use serde::Serialize;
use serde_json::{Map, Value};

use super::delimiters::{CLOSE, OPEN};
use super::inventory::{Inventory, Vm};
use crate::problem::did_you_mean;
use crate::shell::bare::are_bare;

const FILTERS_HINT: &str = "the filters are those of minijinja, such as default, first, int, join, \
                            last, length, lower, replace, sort and upper, and `raw`";

/// What a rendered text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Text, a number, or a list.
    Text,
    /// A shell command: each value is quoted, unless the template says `| raw`.
    Command,
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

/// The templates of a suite, compiled once.
#[derive(Debug, Clone)]
pub(super) struct Templates(Environment<'static>);

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        // Only values: no blocks, and no comments that a shell's `${#name}` could begin.
        let syntax = SyntaxConfig::builder()
            .variable_delimiters(OPEN, CLOSE)
            .block_delimiters("\u{1}{%", "%}\u{1}")
            .comment_delimiters("\u{1}{#", "#}\u{1}")
            .build()
            .expect("delimiters that differ");
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(format);
        for unquotes in ["safe", "escape", "e"] {
            environment.remove_filter(unquotes);
        }
        environment.add_filter("raw", raw);
        Self(environment)
    }
}

/// `| raw`: this value is not quoted for the shell.
fn raw(value: &Rendered) -> Rendered {
    Rendered::from_safe_string(shown(value))
}

/// Writes a value into a text or a command.
fn format(out: &mut Output, state: &State, value: &Rendered) -> Result<(), Error> {
    let text = match (target(state.name()), value.kind()) {
        (Target::Command, _) if !value.is_safe() => quoted(value)?,
        (_, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) => {
            let message = "a list or an object cannot be part of a text";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        _ => shown(value),
    };
    out.write_str(&text).map_err(Error::from)
}

/// The value as text: truth values as JSON writes them.
fn shown(value: &Rendered) -> String {
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        _ => value.to_string(),
    }
}

/// The value as one word of the shell; a list as several.
fn quoted(value: &Rendered) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let words: Result<Vec<String>, Error> =
                value.try_iter()?.map(|item| quoted(&item)).collect();
            Ok(words?.join(" "))
        }
        ValueKind::Map => {
            let message = "an object cannot be part of a command";
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
        _ => {
            let text = shown(value);
            let word = shlex::try_quote(&text)
                .map_err(|_| Error::new(ErrorKind::InvalidOperation, "the value contains NUL"))?;
            Ok(word.into_owned())
        }
    }
}

fn key(target: Target, text: &str) -> String {
    match target {
        Target::Text => format!("text:{text}"),
        Target::Command => format!("command:{text}"),
    }
}

fn target(key: &str) -> Target {
    if key.starts_with("command:") { Target::Command } else { Target::Text }
}

impl Templates {
    /// Compiles a text, unless it is known already.
    pub fn add(&mut self, target: Target, text: &str) -> Result<(), TemplateMistake> {
        let key = key(target, text);
        if self.0.get_template(&key).is_ok() {
            return Ok(());
        }
        self.0
            .add_template_owned(key, text.to_owned())
            .map_err(|error| TemplateMistake::of_syntax(&error))?;
        if target == Target::Command && !values_are_bare(text) {
            return Err(inside_quotes());
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
        let explain = |error: &Error| self.explain(target, text, scope, error);
        if let Some(expression) = only_template(text).filter(|_| target == Target::Text) {
            let compiled = self.0.compile_expression(expression);
            let value = compiled
                .and_then(|expression| expression.eval(&scope.0))
                .map_err(|error| explain(&error))?;
            return match value.kind() {
                ValueKind::Undefined => Err(explain(&Error::from(ErrorKind::UndefinedError))),
                ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::None => {
                    serde_json::to_value(&value).map_err(|error| TemplateMistake {
                        message: error.to_string(),
                        hint: None,
                        depends_on_values: true,
                    })
                }
                _ => Ok(Value::String(shown(&value))),
            };
        }
        let template = self.0.get_template(&key(target, text)).map_err(|error| explain(&error))?;
        template.render(&scope.0).map(Value::String).map_err(|error| explain(&error))
    }

    /// Whether a text that was added uses this name.
    pub fn uses(&self, target: Target, text: &str, name: &str) -> bool {
        let template = self.0.get_template(&key(target, text));
        template.is_ok_and(|template| template.undeclared_variables(false).contains(name))
    }

    fn explain(&self, target: Target, text: &str, scope: &Scope, error: &Error) -> TemplateMistake {
        if error.kind() != ErrorKind::UndefinedError {
            return TemplateMistake::of_value(error);
        }
        let template = self.0.get_template(&key(target, text));
        let mut names: Vec<String> = template
            .map(|template| template.undeclared_variables(true).into_iter().collect())
            .unwrap_or_default();
        // `vms.app-server` is read as `vms.app` minus `server`: the first of the two says more.
        names.sort_by_key(|name| (!name.contains("vms."), name.clone()));
        let unknown = names.iter().find_map(|name| scope.unknown(name));
        unknown.unwrap_or_else(|| TemplateMistake {
            message: format!("a name in `{}` has no value", first_template(text)),
            hint: Some(
                "check the names of its keys; `bootproof schema suite` lists them".to_owned(),
            ),
            depends_on_values: true,
        })
    }
}

impl TemplateMistake {
    fn of_syntax(error: &Error) -> Self {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
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
        let is_list = why.contains("cannot be part of a text");
        let hint = match error.kind() {
            ErrorKind::UnknownFilter => Some(FILTERS_HINT.to_owned()),
            _ => is_list.then(|| "join it: `| join(', ')`; or take one key of it".to_owned()),
        };
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

fn inside_quotes() -> TemplateMistake {
    TemplateMistake {
        message: "this template is not a word of the command: it is inside quotes, a comment, a \
                  here-document or an arithmetic expression, or the command cannot be read"
            .to_owned(),
        hint: Some(
            "bootproof quotes the value, so remove the quotes around it, or give it to the program \
             as an argument (awk -v x=${{ ... }}); if you trust the value, write `| raw`"
                .to_owned(),
        ),
        depends_on_values: false,
    }
}

/// The expression of a text that is one template and nothing else.
fn only_template(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    (!inside.contains(OPEN) && !inside.contains(CLOSE)).then_some(inside)
}

fn first_template(text: &str) -> &str {
    let begin = text.find(OPEN).unwrap_or_default();
    let end = text[begin..].find(CLOSE).map_or(text.len(), |end| begin + end + CLOSE.len());
    &text[begin..end]
}

/// Whether every template of a command that does not say `| raw` is outside quotes, where a quoted
/// value stays one argument.
fn values_are_bare(text: &str) -> bool {
    const MARK: &str = "bootproofvalue";
    let (mut command, mut marks) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, template)) = rest.split_once(OPEN) {
        command += before;
        let (expression, after) = template.split_once(CLOSE).unwrap_or((template, ""));
        if !is_raw(expression) {
            marks.push(command.len()..command.len() + MARK.len());
        }
        command += MARK;
        rest = after;
    }
    command += rest;
    marks.is_empty() || are_bare(&command, &marks)
}

/// Whether the whole value is surely `| raw`. A filter binds tighter than operators: in
/// `a if b else c | raw`, it is about `c` alone.
fn is_raw(expression: &str) -> bool {
    let Some((value, last)) = expression.rsplit_once('|') else { return false };
    let value = value.trim();
    let is_whole = value.starts_with('(') && value.find(')') == Some(value.len() - 1);
    let has_operator = value.contains(['~', '+', '*', '/', '%', '=', '<', '>'])
        || value.split_whitespace().any(|word| matches!(word, "if" | "else" | "or" | "and" | "-"));
    last.trim() == "raw" && (is_whole || !has_operator)
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
