//! The commands by which bootproof looks at a VM: scripts that run in any POSIX shell.

/// The line on both streams that shows that sudo has let the command through.
pub const SUDO_GRANTED: &str = "bootproof: sudo granted";

/// The names in one question are at most this many bytes long. Linux takes 128 KiB for an argument,
/// and quoting makes names longer.
const NAMES: usize = 40 * 1024;

/// A word for a POSIX shell.
pub(super) fn quoted(word: &str) -> String {
    // Quoting fails for NUL only, which `mistakes` refuses everywhere.
    shlex::try_quote(word).unwrap_or_default().into_owned()
}

/// The line that runs `script` as the user who logs in, whatever the login shell is.
pub fn as_user(script: &str) -> String {
    format!("sh -c {}", quoted(script))
}

/// The line that runs `script` as root.
///
/// sudo reads the password from standard input. The script itself gets an empty standard input, and
/// [`SUDO_GRANTED`] shows that sudo has let it through: what comes before is sudo's.
pub fn as_root(script: &str) -> String {
    let inner =
        format!("exec </dev/null; echo '{SUDO_GRANTED}'; echo '{SUDO_GRANTED}' >&2; {script}");
    format!("sudo -S -p '' -- sh -c {}", quoted(&inner))
}

/// How bootproof runs `script`, in one line.
pub(super) fn how(script: &str, run_as_root: bool) -> String {
    format!("run: {}", if run_as_root { as_root(script) } else { as_user(script) })
}

/// Sets the positional parameters to `names`, and the language to that of the messages that
/// bootproof understands.
pub(super) fn set(names: &[&str]) -> String {
    let words: String = names.iter().map(|name| format!(" {}", quoted(name))).collect();
    format!("LC_ALL=C; export LC_ALL; set --{words}")
}

/// `own` and as many of the others as one question can have.
pub fn fitting<'a>(own: &[&'a str], others: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    let mut names = own.to_vec();
    let mut length: usize = own.iter().map(|name| name.len()).sum();
    for other in others.into_iter().filter(|other| !own.contains(&other.as_str())) {
        length += other.len() + 3;
        if length > NAMES {
            break;
        }
        names.push(other);
    }
    // The same question, whoever asks it.
    names.sort_unstable();
    names
}

/// The last line that says something.
pub fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_word() {
        let script = format!("{}; printf %s \"$1\"", set(&["; rm -rf / 'x' $(y) `z`"]));
        let words = shlex::split(&as_user(&script)).unwrap();
        assert_eq!(words[..2], ["sh", "-c"]);
        let inner = shlex::split(&words[2]).unwrap();
        assert!(inner.contains(&"; rm -rf / 'x' $(y) `z`;".to_owned()), "{inner:?}");
    }

    #[test]
    fn a_question_has_as_many_names_as_fit() {
        let others: Vec<String> = (0..2000).map(|number| format!("{number:0100}")).collect();
        let names = fitting(&["own"], &others);
        assert!(names.contains(&"own") && (300..400).contains(&names.len()), "{}", names.len());
        let [a, b] = ["a", "b"].map(str::to_owned);
        assert_eq!(fitting(&["b"], [&a, &b]), fitting(&["a"], [&a, &b]));
    }
}
