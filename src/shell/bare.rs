//! Tells where a value can stand in a command so that it stays one argument and never becomes code:
//! a plain word that no quotes surround, and that the shell reads only once. Wherever this is not
//! sure, the answer is no.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::script::{Script, descend, has_token, named_children};

/// What may stand at a place of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// One value, as a word or as a part of one.
    Word,
    /// Also several: it is a whole word among the arguments of a program or in the list of `for`.
    Words,
}

/// Why a place cannot take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsure {
    /// Between backquotes, a backquote in a value would end the command, quoted or not.
    Backquotes,
    /// Where a here-document ends is not sure.
    HereDocument,
    /// It is not a word that no quotes surround.
    NoWord,
    /// The shell could evaluate the value again.
    Evaluated,
}

/// They read a variable, a subscript or a command in their arguments.
const EVALUATE: [&str; 15] = [
    "eval",
    "let",
    "trap",
    "read",
    "unset",
    "declare",
    "typeset",
    "local",
    "readonly",
    "integer",
    "mapfile",
    "readarray",
    "getopts",
    "alias",
    "wait",
];

/// They run the builtin that their arguments name.
const WRAPPERS: [&str; 4] = ["builtin", "command", "exec", "time"];

/// The shell evaluates what is assigned to them, now or later.
const SPECIAL: [&str; 15] = [
    "BASH_ENV",
    "EPOCHSECONDS",
    "ENV",
    "HISTCMD",
    "LINENO",
    "OPTIND",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "RANDOM",
    "SECONDS",
    "SRANDOM",
];

/// For each of `ranges`, whether a value can stand there.
pub fn spots(command: &str, ranges: &[Range<usize>]) -> Result<Vec<Spot>, Unsure> {
    if command.contains('`') {
        return Err(Unsure::Backquotes);
    }
    if command.replace("<<<", "").contains("<<") {
        return Err(Unsure::HereDocument);
    }
    let script = Script::parse(command).ok_or(Unsure::NoWord)?;
    let place = Place { script: &script, command, evaluates: evaluates(&script) };
    ranges.iter().map(|range| place.spot(range)).collect()
}

struct Place<'a> {
    script: &'a Script<'a>,
    command: &'a str,
    /// Whether something in the command evaluates variables.
    evaluates: bool,
}

impl Place<'_> {
    fn spot(&self, range: &Range<usize>) -> Result<Spot, Unsure> {
        let node = self.script.root().descendant_for_byte_range(range.start, range.end);
        // A word that only covers a part of the range is several words.
        let covers = |node: &Node| {
            node.start_byte() <= range.start
                && node.end_byte() >= range.end
                && matches!(node.kind(), "word" | "number")
        };
        let node = node.filter(covers).ok_or(Unsure::NoWord)?;
        if !self.has_plain_neighbours(range) {
            return Err(Unsure::NoWord);
        }
        let word = match node.parent() {
            Some(parent) if parent.kind() == "concatenation" => parent,
            _ => node,
        };
        let is_whole = word.byte_range() == *range;
        let parent = word.parent().ok_or(Unsure::NoWord)?;
        let spot = self.of_word(word, parent)?;
        self.surroundings(parent)?;
        Ok(if is_whole { spot } else { Spot::Word })
    }

    /// A backslash, `$`, `<` or `>` beside a value changes its meaning, and so do braces and
    /// brackets in the same word.
    fn has_plain_neighbours(&self, range: &Range<usize>) -> bool {
        let plain = |c: char| c.is_alphanumeric() || "_./:,@%+=-*\"';|".contains(c);
        let before = self.command[..range.start].chars().next_back();
        let after = self.command[range.end..].chars().next();
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n');
        before.is_none_or(|c| plain(c) || blank(c) || "(".contains(c))
            && after.is_none_or(|c| plain(c) || blank(c) || ")&".contains(c))
    }

    /// Whether the word is where the shell takes it as it is.
    fn of_word(&self, word: Node, parent: Node) -> Result<Spot, Unsure> {
        if !named_children(word).into_iter().chain([word]).all(|part| self.is_plain(part)) {
            return Err(Unsure::NoWord);
        }
        match parent.kind() {
            "command" => self.argument(word, parent),
            "variable_assignment" => self.assigned(word, parent),
            "for_statement" => {
                let variable = parent.child_by_field_name("variable");
                self.to_variable(variable.map(|node| self.script.text(node)))?;
                Ok(Spot::Words)
            }
            "file_redirect" if !self.script.text(parent).contains('&') => Ok(Spot::Word),
            "command_name"
            | "herestring_redirect"
            | "case_statement"
            | "case_item"
            | "unary_expression"
            | "binary_expression"
            | "test_command" => Ok(Spot::Word),
            "file_redirect" | "array" | "subscript" | "declaration_command" | "unset_command" => {
                Err(Unsure::Evaluated)
            }
            _ => Err(Unsure::NoWord),
        }
    }

    /// Braces and brackets in a word make more words or a subscript of it.
    fn is_plain(&self, part: Node) -> bool {
        match part.kind() {
            "word" | "number" => !self.script.text(part).contains(['{', '}', '[', ']', '$', '\\']),
            "concatenation"
            | "string"
            | "raw_string"
            | "simple_expansion"
            | "command_substitution" => true,
            "expansion" => is_simple_expansion(self.script.text(part)),
            _ => false,
        }
    }

    fn argument(&self, word: Node, command: Node) -> Result<Spot, Unsure> {
        let words = words(self.script, command);
        let name = words.first().and_then(Option::as_deref).ok_or(Unsure::Evaluated)?;
        let evaluates = |word: &str| EVALUATE.contains(&word);
        let has = |option: &str| words.iter().flatten().any(|word| word == option);
        let is_evaluated = evaluates(name)
            || (WRAPPERS.contains(&name) && words.iter().flatten().any(|word| evaluates(word)))
            || (name == "printf" && is_option_of_printf(word, command, &words))
            || named_children(command).iter().any(|child| child.kind() == "subshell");
        if is_evaluated {
            return Err(Unsure::Evaluated);
        }
        if name == "test" {
            let refused = ["-v", "-R", "-a", "-o", "("].into_iter().any(has);
            return if refused { Err(Unsure::Evaluated) } else { self.operand(word, command) };
        }
        if name == "set" || self.has_function() {
            self.to_variable(None)?;
        }
        Ok(Spot::Words)
    }

    /// An argument of `test`: an operator must be beside it, so that it cannot be one itself.
    fn operand(&self, word: Node, command: Node) -> Result<Spot, Unsure> {
        let arguments: Vec<Node> = named_children(command).into_iter().skip(1).collect();
        let at = arguments.iter().position(|other| *other == word).ok_or(Unsure::Evaluated)?;
        let is_operator = |at: Option<usize>| {
            at.and_then(|at| arguments.get(at)).is_some_and(|node| is_test(self.script.text(*node)))
        };
        let is_sure =
            arguments.len() == 1 || is_operator(at.checked_sub(1)) || is_operator(Some(at + 1));
        if is_sure { Ok(Spot::Word) } else { Err(Unsure::Evaluated) }
    }

    fn assigned(&self, word: Node, assignment: Node) -> Result<Spot, Unsure> {
        let name = assignment.child_by_field_name("name").filter(|name| *name != word);
        let name = name.filter(|name| name.kind() == "variable_name").ok_or(Unsure::Evaluated)?;
        self.to_variable(Some(self.script.text(name)))?;
        Ok(Spot::Word)
    }

    /// A value in a variable is safe as long as nothing evaluates variables.
    fn to_variable(&self, name: Option<&str>) -> Result<(), Unsure> {
        let is_special = name.is_some_and(|name| SPECIAL.contains(&name));
        if is_special || self.evaluates { Err(Unsure::Evaluated) } else { Ok(()) }
    }

    /// Whether everything around a word leaves it alone; `at` is the node that has the word.
    fn surroundings(&self, mut at: Node) -> Result<(), Unsure> {
        loop {
            self.around(at)?;
            let Some(parent) = at.parent() else { return Ok(()) };
            if parent.kind() == "c_style_for_statement" && at.kind() != "do_group" {
                return Err(Unsure::Evaluated);
            }
            // The whole output of a substitution is one word, and so is what it is a part of.
            if parent.kind() == "command" && self.evaluates_its_arguments(parent) {
                return Err(Unsure::Evaluated);
            }
            at = parent;
        }
    }

    fn around(&self, node: Node) -> Result<(), Unsure> {
        match node.kind() {
            "program"
            | "command"
            | "command_name"
            | "variable_assignment"
            | "for_statement"
            | "c_style_for_statement"
            | "while_statement"
            | "if_statement"
            | "elif_clause"
            | "else_clause"
            | "case_statement"
            | "case_item"
            | "do_group"
            | "pipeline"
            | "list"
            | "negated_command"
            | "redirected_statement"
            | "subshell"
            | "function_definition"
            | "file_redirect"
            | "herestring_redirect"
            | "concatenation"
            | "string"
            | "command_substitution"
            | "process_substitution" => Ok(()),
            "compound_statement" if !has_token(node, "((") => Ok(()),
            "declaration_command" if is_plain_declaration(self.script, node) => Ok(()),
            "unary_expression" | "binary_expression" => self.operator(node),
            "test_command" if has_token(node, "[") => Ok(()),
            "test_command"
            | "compound_statement"
            | "declaration_command"
            | "array"
            | "subscript"
            | "arithmetic_expansion"
            | "expansion"
            | "unset_command" => Err(Unsure::Evaluated),
            _ => Err(Unsure::NoWord),
        }
    }

    /// `[ -v X ]` evaluates a subscript in X, and `-a` makes it unclear what is an operator.
    fn operator(&self, expression: Node) -> Result<(), Unsure> {
        let tokens: Vec<Node> = expression.children(&mut expression.walk()).collect();
        let refused = ["-v", "-R", "-a", "-o"];
        let is_refused = tokens.iter().any(|node| refused.contains(&self.script.text(*node)));
        if is_refused { Err(Unsure::Evaluated) } else { Ok(()) }
    }

    fn evaluates_its_arguments(&self, command: Node) -> bool {
        let words = words(self.script, command);
        words.iter().take(2).flatten().any(|word| EVALUATE.contains(&word.as_str()))
    }

    fn has_function(&self) -> bool {
        let mut found = false;
        descend(self.script.root(), &mut |node| found |= node.kind() == "function_definition");
        found
    }
}

/// An operator of `test`.
fn is_test(word: &str) -> bool {
    matches!(word, "=" | "==" | "!=")
        || (word.len() <= 3
            && word.starts_with('-')
            && word[1..].bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// `${x}`, `${x:-...}`, `${x#...}` and the like; not `${!x}`, `${x@P}`, `${x[...]}` or `${x:...}`.
fn is_simple_expansion(text: &str) -> bool {
    static SIMPLE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\$\{#?\w+(\}|:?[-+=?][^\[\]$]*\}$|[#%/^,][^\[\]$]*\}$)")
            .expect("a valid pattern")
    });
    SIMPLE.is_match(text)
}

/// Whether something in the command evaluates the text of variables: arithmetic, subscripts,
/// `eval` and the like.
fn evaluates(script: &Script) -> bool {
    let mut found = false;
    descend(script.root(), &mut |node| {
        found |= match node.kind() {
            "arithmetic_expansion" | "subscript" | "unset_command" => true,
            "test_operator" => is_evaluating_operator(script.text(node)),
            "c_style_for_statement" | "compound_statement" => has_token(node, "(("),
            "expansion" => !is_simple_expansion(script.text(node)),
            "declaration_command" => !is_plain_declaration(script, node),
            "command" => command_evaluates(script, node),
            _ => false,
        };
    });
    found
}

/// In `[[ ]]`, these evaluate their operands.
fn is_evaluating_operator(operator: &str) -> bool {
    matches!(operator, "-v" | "-R" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge")
}

fn command_evaluates(script: &Script, command: Node) -> bool {
    const ALWAYS: [&str; 6] = ["eval", "let", "trap", "declare", "typeset", "integer"];
    let words = words(script, command);
    let has = |list: &[&str]| words.iter().flatten().any(|word| list.contains(&word.as_str()));
    match words.first() {
        Some(Some(name)) if name == "test" => has(&["-v", "-R"]),
        Some(Some(name)) if name == "printf" => {
            let first = words.get(1).and_then(Option::as_ref);
            first.is_none_or(|word| word.starts_with("-v"))
        }
        Some(Some(name)) if WRAPPERS.contains(&name.as_str()) => has(&EVALUATE),
        Some(Some(name)) if EVALUATE.contains(&name.as_str()) => {
            has(&ALWAYS) || words.iter().any(Option::is_none)
        }
        _ => has(&["eval", "let"]),
    }
}

/// `export X=...`, without options.
fn is_plain_declaration(script: &Script, node: Node) -> bool {
    let keyword = script.text(node).split_whitespace().next();
    keyword.is_some_and(|word| matches!(word, "export" | "local" | "readonly"))
        && named_children(node)
            .iter()
            .all(|child| matches!(child.kind(), "variable_assignment" | "variable_name"))
}

/// The words of a command; `None` for one that depends on the VM.
fn words(script: &Script, command: Node) -> Vec<Option<String>> {
    let is_word = |node: &Node| {
        !matches!(node.kind(), "variable_assignment" | "file_redirect" | "herestring_redirect")
    };
    let words = named_children(command).into_iter().filter(is_word);
    words
        .map(|node| match node.kind() {
            "command_name" => node.named_child(0).and_then(|name| script.literal(name)),
            _ => script.literal(node),
        })
        .collect()
}

/// `-v` makes the next argument of `printf` a variable, and a value could be `-v`.
fn is_option_of_printf(word: Node, command: Node, words: &[Option<String>]) -> bool {
    let is_first = named_children(command).get(1) == Some(&word);
    is_first || words.iter().flatten().any(|word| word.starts_with("-v"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "MARK";

    fn all(command: &str) -> Result<Vec<Spot>, Unsure> {
        let ranges: Vec<_> =
            command.match_indices(MARK).map(|(at, _)| at..at + MARK.len()).collect();
        spots(command, &ranges)
    }

    #[test]
    fn knows_where_a_quoted_value_stays_one_argument() {
        for command in [
            "ls MARK",
            "ls /srv/MARK/a",
            "MARK",
            "x=MARK; ls $x",
            "x=MARK; printf '<%s>' \"$x\"; test -f \"$x\"",
            "x=MARK ls",
            "ls --at=MARK | grep MARK && test -f MARK",
            "echo \"$(ls MARK)\"",
            "for f in MARK a; do ls $f; done",
            "for f in MARK; do [[ -f $f ]] || exit 1; done",
            "if ! ls MARK; then exit 1; fi",
            "{ ls MARK; } > MARK",
            "(ls MARK)",
            "awk -v n=MARK '{ print n }'",
            "[ -f MARK ] && [ MARK = x ] || test MARK",
            "[ ! -e MARK ] || test ! -e MARK",
            "[ \"$(stat -c %a MARK)\" = 750 ]",
            "test MARK = MARK",
            "case $x in a) ls MARK ;; esac",
            "f() { ls MARK; }; f",
            "export X=MARK",
            "for ((i = 0; i < 3; i++)); do ls MARK; done",
            "n=$(wc -l < MARK); echo $((n + 1))",
            "while read -r x; do grep MARK $x; done < f",
            "printf '%s\\n' MARK",
            "ls \"$D\"/MARK.conf ${D}/MARK *MARK*",
            "grep -c x MARK 2>/dev/null",
        ] {
            assert!(all(command).is_ok(), "{command}: {:?}", all(command));
        }
        for command in [
            "ls 'MARK'",
            "ls \"MARK\"",
            "ls \"a MARK b\"",
            "awk '{ print MARK }'",
            "ls $'MARK'",
            "ls # MARK",
            "echo ${MARK}",
            "echo $MARK",
            "ls MARK '",
            "ls \\MARK",
            "ls a\\MARK",
            "ls MARK>&1",
            "ls 2>MARK",
            "ls MARK<f",
            "ls {a,MARK}",
            "ls [MARK]",
            "MARK() { ls; }; ls",
            "ls @(MARK)",
        ] {
            assert_eq!(all(command), Err(Unsure::NoWord), "{command}");
        }
    }

    #[test]
    fn what_bash_evaluates_again_takes_no_value() {
        for command in [
            "[ -v MARK ]",
            "test -v MARK",
            "test MARK MARK",
            "[ -f MARK -a MARK = x ]",
            "[[ -f MARK ]]",
            "[[ $x =~ MARK ]]",
            "[[ $x -eq MARK ]]",
            "[[ $(echo MARK) -eq 1 ]]",
            "a=(MARK)",
            "a=([MARK]=1)",
            "a[MARK]=1",
            "echo ${a[MARK]}",
            "ls >& MARK",
            "ls <& MARK",
            "ls &> MARK",
            "let MARK",
            "let x=MARK",
            "declare MARK",
            "declare -i n=MARK",
            "typeset -i n=MARK",
            "local -i n=MARK",
            "readonly -i n=MARK",
            "export -i n=MARK",
            "export MARK",
            "declare -i n; n=MARK",
            "printf -v MARK x",
            "printf MARK MARK",
            "x=MARK; printf \"$x\" y",
            "read MARK",
            "unset MARK",
            "eval MARK",
            "eval ls MARK",
            "builtin eval MARK",
            "command eval MARK",
            "\\eval MARK",
            "'eval' MARK",
            "$x MARK",
            "trap MARK EXIT",
            "eval \"$(echo MARK)\"",
            "echo $((MARK + 1))",
            "echo $(( $(echo MARK) + 1 ))",
            "echo \"$(( $(echo MARK) + 1 ))\"",
            "(( $(echo MARK) ))",
            "((MARK))",
            "echo ${x:-MARK}",
            "echo \"${x:-$(ls MARK)}\"",
            "for ((i = 0; i < MARK; i++)); do ls; done",
            "x=MARK; echo $((x))",
            "x=MARK; eval \"$x\"",
            "x=MARK; echo ${!x}",
            "for x in MARK; do [[ $x -eq 1 ]]; done",
            "f() { let \"$1\"; }; f MARK",
            "set -- MARK; let $1",
            "SECONDS=MARK",
            "BASH_ENV=MARK bash -c ls",
        ] {
            assert!(all(command).is_err(), "{command}");
        }
    }

    #[test]
    fn where_a_parser_could_be_wrong_nothing_is_sure() {
        for command in ["echo `ls MARK`", "ls MARK; echo `id`", "ls `dirname $(ls MARK)`"] {
            assert_eq!(all(command), Err(Unsure::Backquotes), "{command}");
        }
        for command in [
            "cat <<PY\nMARK\nPY\n",
            "cat <<'PY'\nMARK\nPY\n",
            "python3 - MARK <<'PY'\nprint(1)\nPY\n",
            "cat <<EOF | grep -c .\n$(ls MARK)\nEOF\n",
            "cat <<EOF\na\n  EOF\nMARK\nEOF\n",
        ] {
            assert_eq!(all(command), Err(Unsure::HereDocument), "{command}");
        }
    }

    #[test]
    fn a_list_needs_whole_words_of_a_program_or_of_for() {
        for command in ["ls MARK", "ls -l MARK a", "for f in a MARK; do ls $f; done"] {
            assert_eq!(all(command), Ok(vec![Spot::Words]), "{command}");
        }
        for command in [
            "x=MARK; ls",
            "x=MARK ls",
            "MARK",
            "ls aMARK",
            "ls > MARK",
            "[ -f MARK ]",
            "test -f MARK",
        ] {
            assert_eq!(all(command), Ok(vec![Spot::Word]), "{command}");
        }
    }
}
