//! What a shell command is made of, and how it would end. Only this file knows tree-sitter.
//!
//! [`Script::end_in`] goes through a command as a shell would, in a [`World`] in which some of its programs fail; nothing
//! is run. `while`, `case`, functions and background jobs are not gone through: about those nothing is said.

use std::ops::Range;

use tree_sitter::{Node, Parser, Tree};

/// A command that was understood.
pub struct Script<'a> {
    text: &'a str,
    tree: Tree,
}

/// A program of a command, with its words; the shell's own words that look at nothing, such as `echo`, are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program<'a> {
    /// It, as written.
    pub text: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Where it stands in the command, in bytes.
    pub range: Range<usize>,
    /// Its words that are no names and hold nothing to expand, without quotes.
    pub words: Vec<Range<usize>>,
    /// What stands around it.
    pub place: Place,
}

/// What the programs of a command do.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Whether a program fails.
    pub fails: &'a dyn Fn(&str) -> bool,
    /// No program prints anything; otherwise one may print whatever it likes.
    pub silent: bool,
    /// What stands under `!` is so, and must not be so.
    pub negated_is_so: bool,
    /// `jq -e` without input ends well, as it did before jq 1.7.
    pub old_jq: bool,
}

/// How a command ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// With exit status 0.
    pub ok: bool,
    /// What it surely prints.
    pub printed: String,
    /// Something else may be printed, too.
    pub more: bool,
    exited: bool,
}

/// Nobody writes a command that is nested deeper; going through it would take the whole stack.
const DEEPEST: u32 = 100;

/// They look at nothing; how they end is known.
const LOOK_AT_NOTHING: [&str; 12] = [
    "true", ":", "false", "echo", "printf", "exit", "return", "set", "sleep", "cd", "export",
    "umask",
];

/// They end well when there is nothing to read, and print nothing.
const QUIET_WITHOUT_INPUT: [&str; 15] = [
    "cat", "column", "cut", "head", "jq", "nl", "paste", "rev", "sed", "sort", "tac", "tail",
    "tee", "tr", "uniq",
];

impl<'a> Script<'a> {
    /// Reads a command of bash or sh; none if it is not understood.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
        let tree = parser.parse(text, None)?;
        (!tree.root_node().has_error() && is_shallow(&tree)).then_some(Self { text, tree })
    }

    /// Its programs, in the order of the text; not those inside the words of another one.
    pub fn programs(&self) -> Vec<Program<'a>> {
        let mut programs = Vec::new();
        self.gather(self.tree.root_node(), Place::default(), &mut programs);
        programs
    }

    /// The same, and those inside the words of others: everything that a shell may run.
    pub fn every_program(&self) -> Vec<Program<'a>> {
        let mut programs = Vec::new();
        descend(self.tree.root_node(), &mut |node| {
            if matches!(node.kind(), "command" | "test_command")
                && !LOOK_AT_NOTHING.contains(&self.name(node))
            {
                programs.push(self.program(node, Place::default()));
            }
        });
        programs
    }

    /// What is written to other files than `/dev/null`.
    pub fn written_files(&self) -> Vec<&'a str> {
        let mut files = Vec::new();
        descend(self.tree.root_node(), &mut |node| {
            let target = node.child_by_field_name("destination").map(|target| self.text(target));
            let harmless = |target: &str| ["/dev/null", "/dev/stderr", "1", "2"].contains(&target);
            if node.kind() == "file_redirect"
                && !self.text(node).starts_with('<')
                && let Some(target) = target.filter(|target| !harmless(target))
            {
                files.push(target);
            }
        });
        files
    }

    /// How it ends in a world; none if that cannot be told.
    pub fn end_in(&self, world: World) -> Option<End> {
        Walk {
            script: self,
            world,
            pipefail: self.sets("pipefail"),
            errexit: self.sets("errexit") || self.sets("-e"),
        }
        .end(self.tree.root_node(), false)
    }

    fn sets(&self, option: &str) -> bool {
        let mut found = false;
        descend(self.tree.root_node(), &mut |node| {
            found |= node.kind() == "command"
                && self.name(node) == "set"
                && self.text(node).split_whitespace().any(|word| {
                    word == option
                        || (option == "-e" && word.starts_with('-') && word.contains('e'))
                });
        });
        found
    }

    fn text(&self, node: Node) -> &'a str {
        &self.text[node.byte_range()]
    }

    fn name(&self, node: Node) -> &'a str {
        match node.child_by_field_name("name") {
            Some(name) => self.text(name),
            None => "[",
        }
    }

    fn gather(&self, node: Node, place: Place, programs: &mut Vec<Program<'a>>) {
        let children = named(node);
        match node.kind() {
            "command" | "test_command" if !LOOK_AT_NOTHING.contains(&self.name(node)) => {
                programs.push(self.program(node, place));
            }
            "pipeline" => {
                for (index, child) in children.iter().enumerate() {
                    let feeds = place.feeds || index + 1 < children.len();
                    self.gather(
                        *child,
                        Place { feeds, fed: place.fed || index > 0, ..place },
                        programs,
                    );
                }
            }
            kind => {
                let or = kind == "list" && !has_token(node, "&&");
                let negated = place.negated != (kind == "negated_command");
                for (index, child) in children.into_iter().enumerate() {
                    let alternative = place.alternative || (or && index > 0);
                    self.gather(child, Place { negated, alternative, ..place }, programs);
                }
            }
        }
    }

    fn program(&self, node: Node, place: Place) -> Program<'a> {
        let mut words = Vec::new();
        plain_words(node, &mut words);
        Program {
            text: self.text(node),
            name: self.name(node),
            range: node.byte_range(),
            words,
            place,
        }
    }

    /// What a word stands for; none if it depends on the VM.
    fn literal(&self, node: Node) -> Option<String> {
        let text = self.text(node);
        match node.kind() {
            "word" => (!text.contains(['*', '?', '[', '~'])).then(|| text.replace('\\', "")),
            "number" | "string_content" => Some(text.to_owned()),
            "raw_string" => Some(text.trim_matches('\'').to_owned()),
            "string" | "concatenation" => {
                named(node).into_iter().map(|part| self.literal(part)).collect()
            }
            _ => None,
        }
    }
}

/// Where a program stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these places do not exclude each other")]
pub struct Place {
    /// Under `!`.
    pub negated: bool,
    /// Another one of its pipe comes after it, so its status is lost.
    pub feeds: bool,
    /// Another one of its pipe comes before it.
    pub fed: bool,
    /// It is on the right of `||`: run when something else has failed.
    pub alternative: bool,
}

fn is_shallow(tree: &Tree) -> bool {
    let mut cursor = tree.walk();
    while cursor.depth() <= DEEPEST {
        let mut goes_on = cursor.goto_first_child() || cursor.goto_next_sibling();
        while !goes_on {
            if !cursor.goto_parent() {
                return true;
            }
            goes_on = cursor.goto_next_sibling();
        }
    }
    false
}

fn named(node: Node) -> Vec<Node> {
    node.named_children(&mut node.walk()).filter(|child| child.kind() != "comment").collect()
}

/// Where the words stand that are no names and hold nothing to expand; not those of programs within.
fn plain_words(node: Node, words: &mut Vec<Range<usize>>) {
    match node.kind() {
        "command_name" | "command_substitution" | "process_substitution" => {}
        "word" | "number" | "string_content" => words.push(node.byte_range()),
        "raw_string" => words.push(node.start_byte() + 1..node.end_byte() - 1),
        _ => named(node).into_iter().for_each(|child| plain_words(child, words)),
    }
}

fn has_token(node: Node, token: &str) -> bool {
    node.children(&mut node.walk()).any(|child| child.kind() == token)
}

fn descend<'tree>(node: Node<'tree>, visit: &mut impl FnMut(Node<'tree>)) {
    visit(node);
    node.named_children(&mut node.walk()).for_each(|child| descend(child, visit));
}

/// A way through a command.
struct Walk<'a, 'b> {
    script: &'b Script<'a>,
    world: World<'b>,
    pipefail: bool,
    errexit: bool,
}

impl Walk<'_, '_> {
    /// `starved`: there is nothing to read, because what should have written it has failed.
    fn end(&self, node: Node, starved: bool) -> Option<End> {
        let children = named(node);
        match node.kind() {
            "program" | "compound_statement" | "subshell" | "do_group" | "else_clause" => {
                let end = self.sequence_of(node, starved)?;
                Some(if node.kind() == "subshell" { End { exited: false, ..end } } else { end })
            }
            "command" | "test_command" => self.command(node, starved),
            "list" => self.chain(node, starved),
            "pipeline" => self.pipeline(&children, starved),
            "negated_command" => {
                let inner = self.end(*children.first()?, starved)?;
                Some(End { ok: !inner.ok && !self.world.negated_is_so, ..inner })
            }
            "redirected_statement" => self.redirected(node, starved),
            "for_statement" => self.end(node.child_by_field_name("body")?, starved),
            "if_statement" => self.branch(node, starved),
            "variable_assignment" | "variable_assignments" | "declaration_command" => {
                self.assignment(node)
            }
            "command_substitution" => self.sequence_of(node, false),
            _ => None,
        }
    }

    fn sequence_of(&self, node: Node, starved: bool) -> Option<End> {
        if has_token(node, "&") { None } else { self.sequence(&named(node), starved) }
    }

    fn sequence(&self, statements: &[Node], starved: bool) -> Option<End> {
        let mut all = End { ok: true, ..End::default() };
        for statement in statements {
            let end = self.end(*statement, starved)?;
            let stops = end.exited || (self.errexit && !end.ok);
            all = joined(all, &end);
            if stops {
                return Some(End { exited: true, ..all });
            }
        }
        Some(all)
    }

    fn chain(&self, node: Node, starved: bool) -> Option<End> {
        let [left, right] = named(node)[..] else { return None };
        let and = has_token(node, "&&");
        let first = self.end(left, starved)?;
        if first.exited || first.ok != and {
            Some(first)
        } else {
            Some(joined(first, &self.end(right, starved)?))
        }
    }

    fn pipeline(&self, stages: &[Node], mut starved: bool) -> Option<End> {
        let mut all_ok = true;
        let mut last = End::default();
        for stage in stages {
            last = self.end(*stage, starved)?;
            all_ok &= last.ok;
            starved = last.printed.is_empty() && !last.more && (starved || !last.ok);
        }
        Some(End { ok: last.ok && (all_ok || !self.pipefail), exited: false, ..last })
    }

    fn redirected(&self, node: Node, starved: bool) -> Option<End> {
        let redirects: Vec<&str> = named(node)
            .into_iter()
            .filter(|part| part.kind().ends_with("_redirect"))
            .map(|part| self.script.text(part))
            .collect();
        let reads = redirects.iter().any(|text| text.starts_with('<'));
        let end = self.end(node.child_by_field_name("body")?, starved && !reads)?;
        let elsewhere = redirects
            .iter()
            .any(|text| [">", "1>", "&>"].iter().any(|sign| text.starts_with(sign)));
        Some(if elsewhere { End { printed: String::new(), more: false, ..end } } else { end })
    }

    fn branch(&self, node: Node, starved: bool) -> Option<End> {
        let mut parts: [Vec<Node>; 2] = Default::default();
        let mut otherwise = None;
        let mut at = 0;
        for child in node.children(&mut node.walk()) {
            match child.kind() {
                "then" => at = 1,
                "elif_clause" => return None,
                "else_clause" => otherwise = Some(child),
                _ if child.is_named() => parts[at].push(child),
                _ => {}
            }
        }
        let condition = self.sequence(&parts[0], starved)?;
        let taken = match (condition.ok, otherwise) {
            (true, _) => self.sequence(&parts[1], starved)?,
            (false, Some(clause)) => self.end(clause, starved)?,
            (false, None) => End { ok: true, ..End::default() },
        };
        Some(joined(condition, &taken))
    }

    /// `x=$(...)` ends as what is in it; what that prints goes into the variable.
    fn assignment(&self, node: Node) -> Option<End> {
        let mut substitution = None;
        descend(node, &mut |part| {
            if part.kind() == "command_substitution" {
                substitution = substitution.or(Some(part));
            }
        });
        let ok = match substitution {
            Some(inner) if node.kind() != "declaration_command" => self.end(inner, false)?.ok,
            _ => true,
        };
        Some(End { ok, ..End::default() })
    }

    fn command(&self, node: Node, starved: bool) -> Option<End> {
        let words: Vec<Option<String>> = node
            .children_by_field_name("argument", &mut node.walk())
            .map(|word| self.script.literal(word))
            .collect();
        let first = words.first().cloned().flatten();
        let text = self.script.text(node);
        Some(match self.script.name(node) {
            "false" => End::default(),
            "exit" | "return" => End { ok: first? == "0", exited: true, ..End::default() },
            "echo" => echoed(words),
            "printf" => printed(&words),
            name if LOOK_AT_NOTHING.contains(&name) => End { ok: true, ..End::default() },
            name => {
                let ok =
                    !(self.world.fails)(text) && (!starved || self.lives_without_input(name, text));
                End { ok, more: !self.world.silent, ..End::default() }
            }
        })
    }

    fn lives_without_input(&self, name: &str, text: &str) -> bool {
        match name {
            "jq" if text.contains(" -e") || text.contains("--exit-status") => self.world.old_jq,
            // What stands there is done without input, too.
            "awk" | "gawk" | "mawk" => !text.contains("BEGIN") && !text.contains("END"),
            _ => QUIET_WITHOUT_INPUT.contains(&name),
        }
    }
}

fn joined(first: End, then: &End) -> End {
    End {
        ok: then.ok,
        printed: first.printed + &then.printed,
        more: first.more || then.more,
        exited: then.exited,
    }
}

fn echoed(words: Vec<Option<String>>) -> End {
    let more = words.iter().any(Option::is_none);
    let words: Vec<String> = words.into_iter().flatten().collect();
    End { ok: true, printed: words.join(" ") + "\n", more, exited: false }
}

fn printed(words: &[Option<String>]) -> End {
    match words {
        [Some(text)] if !text.contains('%') => {
            End { ok: true, printed: text.replace("\\n", "\n"), ..End::default() }
        }
        _ => End { ok: true, more: true, ..End::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How `text` ends when the programs that begin with one of `failing` fail and nobody prints anything.
    fn end(text: &str, failing: &[&str]) -> Option<(bool, String)> {
        let fails =
            |program: &str| failing.contains(&program.split(' ').next().unwrap_or_default());
        let world = World { fails: &fails, silent: true, negated_is_so: false, old_jq: false };
        Script::parse(text)?.end_in(world).map(|end| (end.ok, end.printed))
    }

    #[test]
    fn a_command_ends_as_the_shell_would_end_it() {
        for (text, failing, ok, printed) in [
            ("a && echo x", &[][..], true, "x\n"),
            ("a && echo x", &["a"], false, ""),
            ("a || echo x", &["a"], true, "x\n"),
            ("a; echo 'x y'", &["a"], true, "x y\n"),
            ("set -e; a; echo x", &["a"], false, ""),
            ("a || { echo \"x\"; exit 1; }; echo y", &["a"], false, "x\n"),
            ("(a || exit 1); echo y", &["a"], true, "y\n"),
            ("for i in 1 2; do a $i || exit 1; done; printf 'y\\n'", &["a"], false, ""),
            ("if a; then echo x; else echo y; fi", &["a"], true, "y\n"),
            ("! a 2>/dev/null && echo x", &["a"], true, "x\n"),
            ("a > /dev/null && echo x >&2", &[], true, ""),
            ("x=$(a | b) && echo x", &["b"], false, ""),
            ("[ -f /x ] && echo x", &["["], false, ""),
        ] {
            assert_eq!(end(text, failing), Some((ok, printed.to_owned())), "{text}");
        }
    }

    #[test]
    fn of_a_pipe_the_last_one_counts_and_it_has_nothing_to_read() {
        for (text, ok) in [
            ("a | sort", true),
            ("a | grep x", false),
            ("a | grep x | sort", true),
            ("a | jq -e .x", false),
            ("a | awk '{ print }'", true),
            ("a | awk 'END { exit n < 5 }'", false),
            ("a | sort < /x", true),
            ("set -o pipefail; a | sort", false),
        ] {
            assert_eq!(end(text, &["a"]).map(|end| end.0), Some(ok), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        for text in
            ["a && | b", "while a; do b; done", "case x in x) a;; esac", "a & b", "if a; then b"]
        {
            assert_eq!(end(text, &[]), None, "{text}");
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
        let names: Vec<_> = script
            .programs()
            .iter()
            .map(|one| (one.name, one.place, &script.text[one.words[0].clone()]))
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
        assert!(script.every_program().iter().any(|one| one.name == "d"));
        assert_eq!(script.written_files(), ["/f"]);
    }
}
