//! The live display on standard error: one line for each VM on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report::nodes::MANY_VMS;
use crate::report::text::harmless_line;

/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(120);

/// The most lines of a terminal that the display takes.
const MOST_LINES: usize = 20;

/// For how many VMs there is room for a line each. Where there is no terminal, the events of a few
/// VMs are printed line by line.
pub(super) fn room() -> usize {
    if console::user_attended_stderr() {
        let (rows, _) = Term::stderr().size();
        usize::from(rows).saturating_sub(1).min(MOST_LINES)
    } else {
        MANY_VMS - 1
    }
}

/// The lines of a display.
pub(super) struct LiveLines {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
    on_terminal: bool,
    /// The last plain line of each VM, so that the same line is not printed again and again.
    printed: Mutex<HashMap<String, String>>,
}

impl LiveLines {
    /// A line with a clock for each VM.
    pub(super) fn with_clocks<'a>(vms: impl IntoIterator<Item = &'a str>) -> Self {
        let lines: Vec<_> = vms.into_iter().map(|vm| (vm, ProgressBar::new_spinner())).collect();
        Self::new("{elapsed:>4}", &lines)
    }

    /// A line with a counter for each VM, which says how many of its `count` steps are done.
    pub(super) fn with_counters<'a>(
        vms: impl IntoIterator<Item = (&'a str, usize)>,
        first_text: &'static str,
    ) -> Self {
        let bar =
            |count| ProgressBar::new(u64::try_from(count).unwrap_or(0)).with_message(first_text);
        let lines: Vec<_> = vms.into_iter().map(|(vm, count)| (vm, bar(count))).collect();
        Self::new("{pos}/{len}", &lines)
    }

    fn new(column: &str, lines: &[(&str, ProgressBar)]) -> Self {
        let all = MultiProgress::new();
        let on_terminal = console::user_attended_stderr();
        let width = lines.iter().map(|(vm, _)| vm.len()).max().unwrap_or(0);
        let template = format!("{{spinner}} {{prefix:{width}}} {column} {{wide_msg}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let add = |(vm, bar): &(&str, ProgressBar)| {
            let bar = all.add(bar.clone().with_style(style.clone()).with_prefix((*vm).to_owned()));
            if on_terminal {
                bar.enable_steady_tick(TICK);
            }
            ((*vm).to_owned(), bar)
        };
        let bars = lines.iter().map(add).collect();
        Self { all, bars, on_terminal, printed: Mutex::default() }
    }

    /// Whether lines are overwritten, as on a terminal.
    pub(super) fn is_live(&self) -> bool {
        self.on_terminal
    }

    /// Whether the VM has a line.
    pub(super) fn has(&self, vm: &str) -> bool {
        self.bars.contains_key(vm)
    }

    /// Shows `text` for a VM, or, if `vm` is empty, for all of them.
    pub(super) fn set(&self, vm: &str, text: &str) {
        let text = harmless_line(text);
        match self.bars.get(vm) {
            Some(bar) if self.on_terminal => bar.set_message(text),
            _ => self.print(vm, &text),
        }
    }

    /// Counts one step of a VM.
    pub(super) fn advance(&self, vm: &str) {
        if let Some(bar) = self.bars.get(vm) {
            bar.inc(1);
        }
    }

    fn print(&self, vm: &str, text: &str) {
        let line = if vm.is_empty() { text.to_owned() } else { format!("{vm}: {text}") };
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = printed.insert(vm.to_owned(), text.to_owned());
        if last.as_deref() == Some(text) {
            return;
        }
        if self.on_terminal {
            // Above the live lines; without it the display is only less tidy.
            let _ = self.all.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    /// Stops the spinners and leaves the lines as they are.
    pub(super) fn finish(&self) {
        self.bars.values().for_each(ProgressBar::finish);
    }

    /// Removes the lines.
    pub(super) fn clear(&self) {
        self.bars.values().for_each(ProgressBar::finish_and_clear);
    }
}
