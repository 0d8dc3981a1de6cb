//! Where the strings of a jq program are: a value between quotes is text, and elsewhere JSON.

/// Whether the end of this beginning of a program is inside a string.
pub(super) fn ends_in_quotes(program: &str) -> bool {
    // For each string that is not over, the open brackets of the `\( )` in it, if there is one.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut characters = program.chars();
    while let Some(character) = characters.next() {
        match (open.last_mut(), character) {
            (Some(inside @ None), '\\') => {
                *inside = (characters.next() == Some('(')).then_some(0);
            }
            (Some(None), '"') => drop(open.pop()),
            (Some(None), _) => {}
            (_, '"') => open.push(None),
            (_, '#') => drop(characters.by_ref().find(|next| *next == '\n')),
            (Some(Some(depth)), '(') => *depth += 1,
            (Some(inside @ Some(0)), ')') => *inside = None,
            (Some(Some(depth)), ')') => *depth -= 1,
            _ => {}
        }
    }
    open.last() == Some(&None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_the_strings_are() {
        for inside in
            ["\"", ".a == \"x", "\"\\\\\" + \"", "\"\\(\"", "\"\\((1)) ", "# \"\n\"", "\"\\\""]
        {
            assert!(ends_in_quotes(inside), "{inside}");
        }
        for outside in ["", ".a == ", "\"x\" ", "\"\\(", "\"\\(\"a\" ", "\"\\(1)\" ", "# \"\n"] {
            assert!(!ends_in_quotes(outside), "{outside}");
        }
    }
}
