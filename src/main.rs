//! The `bootproof` command.

use bootproof::cli;
use bootproof::exit_code::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
