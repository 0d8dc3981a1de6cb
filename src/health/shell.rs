//! Whether a login runs commands at all: the first question to every VM. Pure.

/// The exit status of [`READ_SHELL`], which no shell returns by chance.
pub const SHELL_STATUS: u32 = 42;

/// The remote command that any login shell must run as it is. It needs a program from PATH and
/// another process, and prints the number of CPUs.
pub const READ_SHELL: &str = "grep -c ^processor /proc/cpuinfo; exit 42";

/// Reads what [`READ_SHELL`] printed: the number of CPUs, 1 if the kernel does not say.
///
/// `Err` holds what the shell said if it did not find or could not start the program.
pub fn parse_cpus(stdout: &str, stderr: &str) -> Result<usize, String> {
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    match (stdout.trim().parse(), last) {
        (Ok(cpus), _) => Ok(std::cmp::max(cpus, 1)),
        // grep itself says that there is no such file.
        (Err(_), Some(line)) if !line.starts_with("grep:") => Err(line.to_owned()),
        (Err(_), _) => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_finds_no_programs_says_so() {
        assert_eq!(parse_cpus("4\n", ""), Ok(4));
        assert_eq!(parse_cpus("0\n", ""), Ok(1), "some architectures name no processor");
        assert_eq!(parse_cpus("", "grep: /proc/cpuinfo: No such file or directory\n"), Ok(1));
        let missing = "bash: line 1: grep: command not found";
        assert_eq!(parse_cpus("", missing), Err(missing.to_owned()));
        let fork = "bash: fork: retry: Resource temporarily unavailable\n";
        assert!(parse_cpus("", fork).is_err());
    }
}
