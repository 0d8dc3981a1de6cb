//! jq programs. Only this file names jq-rs.
//!
//! If a program does not compile, libjq prints the reason on stderr itself, and does not return it.

use super::judgement::{Judgement, Unclear};

/// Whether the program compiles.
pub fn compiles(program: &str) -> bool {
    jq_rs::compile(program).is_ok()
}

/// Whether the program's last output for `json` is `true`.
pub fn judge(program: &str, json: &str) -> Judgement {
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
    fn finds_programs_that_do_not_compile() {
        assert!(compiles(".a == 1"));
        assert!(!compiles(".a =="));
    }
}
