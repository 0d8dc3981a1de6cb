//! jq programs. Only this file names jq-rs.
//!
//! If a program does not compile, libjq prints the reason on stderr itself, and does not return it.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::judgement::{Judgement, Unclear};

/// Whether the program reads modules. libjq, as jq-rs sets it up, aborts the whole process then.
pub fn reads_modules(program: &str) -> bool {
    // A backslash continues a comment in jq 1.7, and does not before.
    static TEXTS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
        [r"\x23[^\n\r]*", r"\x23(?:\\\r?[\s\S]|[^\n\r\\])*"].map(|comment| {
            Regex::new(&format!(r#""(?:\\[\s\S]|[^"\\])*"|{comment}"#)).expect("a valid pattern")
        })
    });
    static READS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?:^|[^.$\w])(?:(?:import|include)\s*"|modulemeta\b)"#)
            .expect("a valid pattern")
    });
    let without = |texts: &Regex| {
        let keep = |text: &Captures| if text[0].starts_with('"') { "\"\"" } else { " " }.to_owned();
        texts.replace_all(program, keep).into_owned()
    };
    TEXTS.iter().any(|texts| READS.is_match(&without(texts)))
}

/// Whether the program compiles.
pub fn compiles(program: &str) -> bool {
    !reads_modules(program) && jq_rs::compile(program).is_ok()
}

/// Whether the program's last output for `json` is `true`.
pub fn judge(program: &str, json: &str) -> Judgement {
    if reads_modules(program) {
        return Judgement::Unclear(Unclear::Jq("it reads modules".to_owned()));
    }
    match jq_rs::run(program, json) {
        Ok(output) => match output.lines().rfind(|line| !line.trim().is_empty()) {
            Some("true") => Judgement::Holds,
            Some(last) => Judgement::differs(
                format!("jq `{program}` returned {last}, not true"),
                format!("jq: {program}"),
                json,
            ),
            None => Judgement::differs(
                format!("jq `{program}` printed nothing"),
                format!("jq: {program}"),
                json,
            ),
        },
        Err(_) if serde_json::from_str::<serde_json::Value>(json).is_err() => Judgement::differs(
            format!("jq `{program}`: the text is not JSON"),
            format!("jq: {program}"),
            json,
        ),
        Err(jq_rs::Error::System { reason: Some(reason) }) => Judgement::differs(
            format!("jq `{program}`: {}", reason.trim()),
            format!("jq: {program}"),
            json,
        ),
        Err(error) => Judgement::Unclear(Unclear::Jq(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_output_must_be_true() {
        assert_eq!(judge(".res == \"pong\"", r#"{"res":"pong"}"#), Judgement::Holds);
        assert_eq!(judge("false, true", "{}"), Judgement::Holds);
        for (program, json) in [
            (".res == \"pong\"", r#"{"res":"ping"}"#),
            (".res", r#"{"res":"true"}"#),
            ("true, false", "{}"),
            ("[true]", "{}"),
            ("empty", "{}"),
            (".a.b", "[1]"),
            ("true", "<html>"),
            ("true", ""),
            ("true", "\0\0"),
        ] {
            assert!(matches!(judge(program, json), Judgement::Differs(_)), "{program} on {json}");
        }
    }

    #[test]
    fn modules_never_reach_libjq() {
        for program in [
            "include \"x\"; .",
            "import \"x\" as x; .",
            "# c\nimport # d\n \"x\" as x; .",
            "module {}; import\"x\" as $x; .",
            "\"x\" | modulemeta",
            "# \"\nimport \"x\" as x; .",
            "# \\\n\"\nimport \"x\" as x; .",
        ] {
            assert!(reads_modules(program) && !compiles(program), "{program}");
            assert!(matches!(judge(program, "{}"), Judgement::Unclear(_)));
        }
        for program in [
            ".import == \"a\"",
            ".include",
            "{import: 1} | .import == 1",
            ".a == \"include\" # import \"x\"",
            ".a == \"no import\"",
        ] {
            assert!(compiles(program), "{program}");
        }
    }

    #[test]
    fn finds_programs_that_do_not_compile() {
        assert!(compiles(".a == 1"));
        assert!(!compiles(".a =="));
    }
}
