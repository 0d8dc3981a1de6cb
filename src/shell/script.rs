//! Reads a shell command: which programs it runs, with which words, and which files it writes.

use std::ops::Range;

use tree_sitter::{Node, Parser, Tree};

/// A command that was understood.
pub struct Script<'a> {
    text: &'a str,
    tree: Tree,
}

/// A program that a command runs. The shell's own words that look at nothing, such as `echo`, do
/// not count as programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program<'a> {
    /// The program with its arguments, as written.
    pub text: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its bytes in the command.
    pub range: Range<usize>,
    /// Its arguments that the shell takes literally, without their quotes.
    pub words: Vec<Range<usize>>,
    /// What is around it.
    pub place: Place,
}

/// What is around a program in its command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these places do not exclude each other")]
pub struct Place {
    /// Under `!`.
    pub negated: bool,
    /// It writes into a pipe, so its exit status is lost.
    pub feeds: bool,
    /// It reads from a pipe.
    pub fed: bool,
    /// On the right of `||`: it runs when something else has failed.
    pub alternative: bool,
}

/// Commands nested deeper than this are refused: walking through them would use up the stack.
const DEEPEST: u32 = 100;

/// A program in a message is cut after so many characters.
const LONGEST_IN_MESSAGES: usize = 60;

/// They look at nothing, and it is known how they end.
pub(super) const LOOK_AT_NOTHING: [&str; 12] = [
    "true", ":", "false", "echo", "printf", "exit", "return", "set", "sleep", "cd", "export",
    "umask",
];

impl Program<'_> {
    /// The program on one line, shortened for a message.
    pub fn shortened(&self) -> String {
        let line = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(LONGEST_IN_MESSAGES) {
            Some((cut, _)) => format!("{}...", &line[..cut]),
            None => line,
        }
    }
}

impl<'a> Script<'a> {
    /// Reads a command for bash or sh; `None` if it is not understood.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
        let tree = parser.parse(text, None)?;
        (!tree.root_node().has_error() && is_shallow(&tree)).then_some(Self { text, tree })
    }

    /// Its programs in the order of the text, without those inside the arguments of another one.
    pub fn programs(&self) -> Vec<Program<'a>> {
        let mut programs = Vec::new();
        self.gather(self.root(), Place::default(), &mut programs);
        programs
    }

    /// Everything that a shell may run: also the programs inside the arguments of others.
    pub fn every_program(&self) -> Vec<Program<'a>> {
        let mut programs = Vec::new();
        descend(self.root(), &mut |node| {
            if self.is_program(node) {
                programs.push(self.program(node, Place::default()));
            }
        });
        programs
    }

    /// The substitutions whose output becomes a part of something else.
    pub fn captured(&self) -> Vec<Range<usize>> {
        let mut captured = Vec::new();
        descend(self.root(), &mut |node| {
            if matches!(node.kind(), "command_substitution" | "process_substitution") {
                captured.push(node.byte_range());
            }
        });
        captured
    }

    /// The files that its redirections write, apart from `/dev/null` and standard error.
    pub fn written_files(&self) -> Vec<&'a str> {
        const HARMLESS: [&str; 4] = ["/dev/null", "/dev/stderr", "1", "2"];
        let mut files = Vec::new();
        descend(self.root(), &mut |node| {
            if node.kind() != "file_redirect" || self.text(node).starts_with('<') {
                return;
            }
            let target = node.child_by_field_name("destination").map(|target| self.text(target));
            files.extend(target.filter(|target| !HARMLESS.contains(target)));
        });
        files
    }

    pub(super) fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    pub(super) fn text(&self, node: Node) -> &'a str {
        &self.text[node.byte_range()]
    }

    pub(super) fn name(&self, node: Node) -> &'a str {
        match node.child_by_field_name("name") {
            Some(name) => self.text(name),
            None => "[",
        }
    }

    /// Whether the command uses `set` with this option.
    pub(super) fn sets(&self, option: &str) -> bool {
        let mut found = false;
        descend(self.root(), &mut |node| {
            found |= node.kind() == "command"
                && self.name(node) == "set"
                && self.text(node).split_whitespace().any(|word| is_option(word, option));
        });
        found
    }

    /// The text that a word expands to; `None` if that depends on the VM.
    pub(super) fn literal(&self, node: Node) -> Option<String> {
        let text = self.text(node);
        match node.kind() {
            "word" => (!text.contains(['*', '?', '[', '~'])).then(|| text.replace('\\', "")),
            "number" | "string_content" => Some(text.to_owned()),
            "raw_string" => Some(text.trim_matches('\'').to_owned()),
            "string" | "concatenation" => {
                named_children(node).into_iter().map(|part| self.literal(part)).collect()
            }
            _ => None,
        }
    }

    fn is_program(&self, node: Node) -> bool {
        matches!(node.kind(), "command" | "test_command")
            && !LOOK_AT_NOTHING.contains(&self.name(node))
    }

    fn gather(&self, node: Node, place: Place, programs: &mut Vec<Program<'a>>) {
        if self.is_program(node) {
            programs.push(self.program(node, place));
            return;
        }
        let children = named_children(node);
        let last = children.len().saturating_sub(1);
        for (index, child) in children.into_iter().enumerate() {
            self.gather(child, place.of_child(node, index, last), programs);
        }
    }

    fn program(&self, node: Node, place: Place) -> Program<'a> {
        let mut words = Vec::new();
        literal_words(node, &mut words);
        Program {
            text: self.text(node),
            name: self.name(node),
            range: node.byte_range(),
            words,
            place,
        }
    }
}

impl Place {
    /// The place of the child with this index, when `self` is the place of `parent`.
    fn of_child(self, parent: Node, index: usize, last: usize) -> Self {
        match parent.kind() {
            "pipeline" => {
                Self { feeds: self.feeds || index < last, fed: self.fed || index > 0, ..self }
            }
            "list" if !has_token(parent, "&&") => {
                Self { alternative: self.alternative || index > 0, ..self }
            }
            "negated_command" => Self { negated: !self.negated, ..self },
            _ => self,
        }
    }
}

/// `set -e` can also be written as a part of `set -eu`.
fn is_option(word: &str, option: &str) -> bool {
    word == option || (option == "-e" && word.starts_with('-') && word.contains('e'))
}

fn is_shallow(tree: &Tree) -> bool {
    let mut cursor = tree.walk();
    while cursor.depth() <= DEEPEST {
        let mut moved = cursor.goto_first_child() || cursor.goto_next_sibling();
        while !moved {
            if !cursor.goto_parent() {
                return true;
            }
            moved = cursor.goto_next_sibling();
        }
    }
    false
}

pub(super) fn named_children(node: Node) -> Vec<Node> {
    node.named_children(&mut node.walk()).filter(|child| child.kind() != "comment").collect()
}

pub(super) fn has_token(node: Node, token: &str) -> bool {
    node.children(&mut node.walk()).any(|child| child.kind() == token)
}

/// Calls `visit` with a node and everything below it.
pub(super) fn descend<'tree>(node: Node<'tree>, visit: &mut impl FnMut(Node<'tree>)) {
    visit(node);
    node.named_children(&mut node.walk()).for_each(|child| descend(child, visit));
}

/// The arguments that the shell takes literally; not those of programs inside them.
fn literal_words(node: Node, words: &mut Vec<Range<usize>>) {
    match node.kind() {
        "command_name" | "command_substitution" | "process_substitution" => {}
        "word" | "number" | "string_content" => words.push(node.byte_range()),
        "raw_string" => words.push(node.start_byte() + 1..node.end_byte() - 1),
        _ => named_children(node).into_iter().for_each(|child| literal_words(child, words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_does_not_understand() {
        for text in ["a && | b", "if a; then b"] {
            assert!(Script::parse(text).is_none(), "{text}");
        }
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Script::parse(&nested(50)).is_some());
        assert!(Script::parse(&nested(10_000)).is_none());
    }

    #[test]
    fn programs_know_their_place() {
        let script = Script::parse(
            "x=$(a /p | b x) && ! c 1 \"$(d)\" > /f && echo \"$(e 'f g' 1)\" 2>&1 || h 2",
        )
        .unwrap();
        let programs = script.programs();
        let names: Vec<_> = programs
            .iter()
            .map(|program| (program.name, program.place, &script.text[program.words[0].clone()]))
            .collect();
        let place = Place::default();
        assert_eq!(
            names,
            [
                ("a", Place { feeds: true, ..place }, "/p"),
                ("b", Place { fed: true, ..place }, "x"),
                ("c", Place { negated: true, ..place }, "1"),
                ("e", place, "f g"),
                ("h", Place { alternative: true, ..place }, "2"),
            ]
        );
        assert!(script.every_program().iter().any(|program| program.name == "d"));
        assert_eq!(script.written_files(), ["/f"]);
    }
}
