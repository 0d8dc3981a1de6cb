//! Something that a person has to put right: what, where, and what to do about it.
//!
//! Every layer reports its problems as this one type; [`Problem`]'s `Display` is the one place that
//! renders message, place and hint.

use std::fmt;

/// One problem: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, as given, if it is about one.
    pub file: Option<String>,
    /// Line and column, from 1; absent when the whole file is meant.
    pub place: Option<(usize, usize)>,
    /// The JSON path, such as `scenarios[0].custom_tests[2]`; empty at the top.
    pub path: String,
    /// What is wrong: a fragment in lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that is not about a file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, place: None, path: String::new(), message: message.into(), hint: None }
    }

    /// For `map_err`: what could not be done, and why.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::new(format!("cannot {doing}: {error}"))
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, with the VM that it is about.
    #[must_use]
    pub fn about(self, vm: &str) -> Self {
        Self { message: format!("{vm}: {}", self.message), ..self }
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{file}")?;
            if let Some((line, column)) = self.place {
                write!(formatter, ":{line}:{column}")?;
            }
            write!(formatter, ": ")?;
        }
        write!(formatter, "{}", self.message)?;
        if !self.path.is_empty() {
            write!(formatter, "\n  at {}", self.path)?;
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Several problems, such as all mistakes of a file in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// The word of `known` that `word` was probably meant to be.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown word: the likeliest known one, or all of them.
pub fn hint_for_unknown<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match did_you_mean(word, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => match known.into_iter().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "none is declared".to_owned(),
            names => format!("use one of: {names}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_met_with_the_likeliest_one() {
        let known = ["port_listening", "command_output", "http_responds"];
        assert_eq!(did_you_mean("port_listenning", known), Some("port_listening"));
        assert_eq!(did_you_mean("zzz", known), None);
    }

    #[test]
    fn a_word_like_no_other_is_met_with_all_of_them() {
        assert_eq!(hint_for_unknown("zzz", ["a1", "b2"]), "use one of: a1, b2");
    }
}
