//! Tells whether a part of a command is outside quotes. There, a value that is quoted for the shell
//! stays one argument; inside quotes, it would not.

use std::ops::Range;

use tree_sitter::Node;

use super::script::{Script, has_token};

/// Whether each of `ranges` is a word, or part of a word, that no quotes surround: a value that is
/// quoted for the shell stays one argument there. `false` if the command is not understood.
pub fn are_bare(command: &str, ranges: &[Range<usize>]) -> bool {
    let Some(script) = Script::parse(command) else { return false };
    ranges.iter().all(|range| {
        script
            .root()
            .descendant_for_byte_range(range.start, range.end)
            .is_some_and(|node| is_bare(node, range))
    })
}

fn is_bare(node: Node, range: &Range<usize>) -> bool {
    // A word that only covers a part of the range is several words.
    let covers = node.start_byte() <= range.start && node.end_byte() >= range.end;
    if !covers || !matches!(node.kind(), "word" | "number") {
        return false;
    }
    let mut at = node;
    while let Some(parent) = at.parent() {
        match parent.kind() {
            // Between backquotes, a backquote in a value would end the command, quoted or not.
            "command_substitution" if has_token(parent, "`") => return false,
            // Inside, quotes begin anew.
            "command_substitution" | "process_substitution" => return true,
            // Quotes are text here, or the shell evaluates what they enclose.
            "string"
            | "raw_string"
            | "ansi_c_string"
            | "translated_string"
            | "heredoc_body"
            | "comment"
            | "expansion"
            | "arithmetic_expansion"
            | "subscript"
            | "regex"
            | "brace_expression" => return false,
            "test_command" if !has_token(parent, "[") => return false,
            "c_style_for_statement" if at.kind() != "do_group" => return false,
            _ => at = parent,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bare(command: &str) -> bool {
        let mark = "MARK";
        let ranges: Vec<_> =
            command.match_indices(mark).map(|(at, _)| at..at + mark.len()).collect();
        are_bare(command, &ranges)
    }

    #[test]
    fn knows_where_a_quoted_value_stays_one_argument() {
        for command in [
            "ls MARK",
            "ls /srv/MARK/a",
            "MARK",
            "x=MARK; ls $x",
            "x=MARK ls",
            "ls --at=MARK | grep MARK && test -f MARK",
            "echo \"$(ls MARK)\"",
            "for f in MARK a; do ls $f; done",
            "if ! ls MARK; then exit 1; fi",
            "{ ls MARK; } > MARK",
            "(ls MARK)",
            "awk -v n=MARK '{ print n }'",
            "python3 - MARK <<'PY'\nprint(1)\nPY\n",
            "cat <<'END' | grep MARK\nx\nEND\n",
            "[ -f MARK ] && [ MARK = x ] || test MARK",
            "case $x in a) ls MARK ;; esac",
            "f() { ls MARK; }; f",
            "export X=MARK",
            "for ((i = 0; i < 3; i++)); do ls MARK; done",
        ] {
            assert!(is_bare(command), "{command}");
        }
        for command in [
            "ls 'MARK'",
            "ls \"MARK\"",
            "ls \"a MARK b\"",
            "awk '{ print MARK }'",
            "ls $'MARK'",
            "cat <<PY\nMARK\nPY\n",
            "cat <<'PY'\nMARK\nPY\n",
            "cat <<MARK\nx\nMARK\n",
            "ls # MARK",
            "echo $((MARK + 1))",
            "echo ${x:-MARK}",
            "echo \"${x:-MARK}\"",
            "echo ${MARK}",
            "echo $MARK",
            "[[ $x =~ MARK ]]",
            "[[ $x -eq MARK ]]",
            "a[MARK]=1",
            "for ((i = 0; i < MARK; i++)); do ls; done",
            "echo `ls MARK`",
            "echo `ls 'MARK",
            "ls MARK '",
        ] {
            assert!(!is_bare(command), "{command}");
        }
    }
}
