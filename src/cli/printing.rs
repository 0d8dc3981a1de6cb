//! How the report of a run is printed.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};

use super::output::{Format, show, show_exactly, width};
use crate::report::terminal::{self, Screen};
use crate::report::{Report, json};

/// What is printed, and how; shared by `check` and `merge`.
#[derive(Debug, Args)]
pub struct Printing {
    /// List every assertion of every VM, and every message; without it, what is the
    /// same on many VMs is one line or one block
    #[arg(short, long)]
    verbose: bool,

    /// Print nothing if everything passes, as for cron
    #[arg(short, long)]
    pub quiet: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// When to use color
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

impl Printing {
    /// Prints a report on standard output.
    pub fn show_report(&self, report: &Report) {
        match self.format {
            Format::Human => show(&terminal::render(report, self.screen())),
            Format::Json => show_exactly(&json::render(report)),
        }
    }

    fn screen(&self) -> Screen {
        let colour = match self.color {
            Colour::Auto => std::io::stdout().is_terminal() && console::colors_enabled(),
            Colour::Always => true,
            Colour::Never => false,
        };
        Screen { colour, width: width(), verbose: self.verbose }
    }
}
