//! Works out how a shell command would end in a [`World`] in which some of its programs fail.
//!
//! Nothing is known about `while`, `case`, functions and background jobs: for a command with one of
//! them, [`end_in`] answers `None`.

use tree_sitter::Node;

use super::script::{LOOK_AT_NOTHING, Script, descend, has_token, named_children};

/// What the programs of a command do.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Whether a program fails, given its text.
    pub fails: &'a dyn Fn(&str) -> bool,
    /// Programs print nothing; otherwise each may print anything.
    pub silent: bool,
    /// A command under `!` succeeds, and so makes `!` fail.
    pub negated_succeeds: bool,
    /// `jq -e` without input exits 0, as it did before jq 1.7.
    pub old_jq: bool,
}

/// How a command ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// With exit status 0.
    pub ok: bool,
    /// What it certainly prints.
    pub printed: String,
    /// It may print more.
    pub more: bool,
    exited: bool,
}

/// They exit 0 and print nothing when there is nothing to read.
const QUIET_WITHOUT_INPUT: [&str; 15] = [
    "cat", "column", "cut", "head", "jq", "nl", "paste", "rev", "sed", "sort", "tac", "tail",
    "tee", "tr", "uniq",
];

/// How the command ends in this world; `None` if that cannot be worked out.
pub fn end_in(script: &Script, world: World) -> Option<End> {
    let walk = Walk {
        script,
        world,
        pipefail: script.sets("pipefail"),
        errexit: script.sets("errexit") || script.sets("-e"),
    };
    walk.end(script.root(), false)
}

/// A walk through a command. In all of it, `starved` means that there is nothing to read, because
/// the program that should have written it has failed.
struct Walk<'a, 'b> {
    script: &'b Script<'a>,
    world: World<'b>,
    pipefail: bool,
    errexit: bool,
}

impl Walk<'_, '_> {
    fn end(&self, node: Node, starved: bool) -> Option<End> {
        match node.kind() {
            "program" | "compound_statement" | "do_group" | "else_clause" => {
                self.statements(node, starved)
            }
            "subshell" => Some(End { exited: false, ..self.statements(node, starved)? }),
            "command" | "test_command" => self.command(node, starved),
            "list" => self.chain(node, starved),
            "pipeline" => self.pipeline(&named_children(node), starved),
            "negated_command" => self.negated(node, starved),
            "redirected_statement" => self.redirected(node, starved),
            "for_statement" => self.end(node.child_by_field_name("body")?, starved),
            "if_statement" => self.branch(node, starved),
            "variable_assignment" | "variable_assignments" | "declaration_command" => {
                self.assignment(node)
            }
            "command_substitution" => self.statements(node, false),
            _ => None,
        }
    }

    fn statements(&self, node: Node, starved: bool) -> Option<End> {
        if has_token(node, "&") { None } else { self.sequence(&named_children(node), starved) }
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
        let [left, right] = named_children(node)[..] else { return None };
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

    fn negated(&self, node: Node, starved: bool) -> Option<End> {
        let inner = self.end(*named_children(node).first()?, starved)?;
        Some(End { ok: !inner.ok && !self.world.negated_succeeds, ..inner })
    }

    fn redirected(&self, node: Node, starved: bool) -> Option<End> {
        let parts = named_children(node).into_iter();
        let redirects: Vec<&str> = parts
            .filter(|part| part.kind().ends_with("_redirect"))
            .map(|part| self.script.text(part))
            .collect();
        let has_input = redirects.iter().any(|redirect| redirect.starts_with('<'));
        let end = self.end(node.child_by_field_name("body")?, starved && !has_input)?;
        let is_output =
            |redirect: &&str| [">", "1>", "&>"].iter().any(|sign| redirect.starts_with(sign));
        if redirects.iter().any(is_output) {
            return Some(End { printed: String::new(), more: false, ..end });
        }
        Some(end)
    }

    fn branch(&self, node: Node, starved: bool) -> Option<End> {
        let (mut condition, mut consequence) = (Vec::new(), Vec::new());
        let mut otherwise = None;
        let mut seen_then = false;
        for child in node.children(&mut node.walk()) {
            match child.kind() {
                "then" => seen_then = true,
                "elif_clause" => return None,
                "else_clause" => otherwise = Some(child),
                _ if !child.is_named() => {}
                _ if seen_then => consequence.push(child),
                _ => condition.push(child),
            }
        }
        let condition = self.sequence(&condition, starved)?;
        let taken = match (condition.ok, otherwise) {
            (true, _) => self.sequence(&consequence, starved)?,
            (false, Some(clause)) => self.end(clause, starved)?,
            (false, None) => End { ok: true, ..End::default() },
        };
        Some(joined(condition, &taken))
    }

    /// `x=$(...)` ends as the command in it does; what that prints goes into the variable.
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
        let arguments: Vec<Option<String>> = node
            .children_by_field_name("argument", &mut node.walk())
            .map(|word| self.script.literal(word))
            .collect();
        match self.script.name(node) {
            "false" => Some(End::default()),
            "exit" | "return" => {
                let status = arguments.first().cloned().flatten()?;
                Some(End { ok: status == "0", exited: true, ..End::default() })
            }
            "echo" => Some(echo(arguments)),
            "printf" => Some(printf(&arguments)),
            name if LOOK_AT_NOTHING.contains(&name) => Some(End { ok: true, ..End::default() }),
            name => Some(self.program(name, self.script.text(node), starved)),
        }
    }

    fn program(&self, name: &str, text: &str, starved: bool) -> End {
        let fails = (self.world.fails)(text) || (starved && !self.passes_without_input(name, text));
        End { ok: !fails, more: !self.world.silent, ..End::default() }
    }

    fn passes_without_input(&self, name: &str, text: &str) -> bool {
        match name {
            "jq" if text.contains(" -e") || text.contains("--exit-status") => self.world.old_jq,
            // Its BEGIN and END blocks run without input, too, and may fail.
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

fn echo(arguments: Vec<Option<String>>) -> End {
    let more = arguments.iter().any(Option::is_none);
    let known: Vec<String> = arguments.into_iter().flatten().collect();
    End { ok: true, printed: known.join(" ") + "\n", more, exited: false }
}

fn printf(arguments: &[Option<String>]) -> End {
    match arguments {
        [Some(text)] if !text.contains('%') => {
            End { ok: true, printed: text.replace("\\n", "\n"), ..End::default() }
        }
        _ => End { ok: true, more: true, ..End::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How `text` ends when the programs with these names fail and none prints anything.
    fn end(text: &str, failing: &[&str]) -> Option<(bool, String)> {
        let fails =
            |program: &str| failing.contains(&program.split(' ').next().unwrap_or_default());
        let world = World { fails: &fails, silent: true, negated_succeeds: false, old_jq: false };
        end_in(&Script::parse(text)?, world).map(|end| (end.ok, end.printed))
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
    fn a_pipe_ends_as_its_last_command_which_may_have_nothing_to_read() {
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
    fn loops_cases_and_background_jobs_have_no_known_end() {
        for text in ["while a; do b; done", "case x in x) a;; esac", "a & b"] {
            assert_eq!(end(text, &[]), None, "{text}");
        }
    }
}
