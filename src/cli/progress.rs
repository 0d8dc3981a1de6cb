//! What is seen while a run is under way: a live line a VM on a terminal, plain lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report::redact::Redactor;
use crate::report::text::harmless_line;
use crate::run::{Event, Listener};
use crate::spec::plan::{AssertionId, Plan};

/// Shows events on standard error.
pub struct Progress {
    bars: Arc<HashMap<String, ProgressBar>>,
    attended: bool,
}

impl Progress {
    /// A line for each VM with selected assertions.
    pub fn new(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let all = MultiProgress::new();
        let attended = console::user_attended_stderr();
        let width = plan.inventory.vms.keys().map(String::len).max().unwrap_or(0);
        let style = ProgressStyle::with_template(&format!(
            "{{spinner}} {{prefix:{width}}} {{pos}}/{{len}} {{wide_msg}}"
        ))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |(name, count): (&str, usize)| {
            let line = all
                .add(ProgressBar::new(u64::try_from(count).unwrap_or(0)).with_style(style.clone()));
            line.set_prefix(name.to_owned());
            line.set_message("connecting");
            if attended {
                line.enable_steady_tick(Duration::from_millis(120));
            }
            (name.to_owned(), line)
        };
        let counts = plan.by_vm().into_iter().map(|(vm, assertions)| {
            (
                vm.name.as_str(),
                assertions.into_iter().filter(|one| selected.contains(&one.id)).count(),
            )
        });
        Self { bars: Arc::new(counts.filter(|(_, count)| *count > 0).map(bar).collect()), attended }
    }

    /// What the runner tells its events to.
    pub fn listener(&self, redactor: Redactor) -> Listener {
        let bars = self.bars.clone();
        let told: Mutex<HashMap<String, String>> = Mutex::default();
        let attended = self.attended;
        Arc::new(move |event| {
            let vm = match &event {
                Event::Waiting { vm, .. } | Event::Ready { vm } | Event::Done { vm, .. } => vm,
                Event::Lost { cause } => &cause.vm,
            };
            let Some(line) = bars.get(vm) else { return };
            let text = match &event {
                Event::Waiting { why, .. } => {
                    format!("waiting: {}", harmless_line(&redactor.line(why)))
                }
                Event::Ready { .. } => "logged in".to_owned(),
                Event::Lost { cause } => {
                    format!("given up: {}", harmless_line(&redactor.line(&cause.to_string())))
                }
                Event::Done { .. } => return line.inc(1),
            };
            if attended {
                line.set_message(text);
                return;
            }
            // The same wait is told once, not every few seconds.
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(vm.clone(), text.clone()).as_ref() != Some(&text) {
                eprintln!("{vm}: {text}");
            }
        })
    }

    /// Takes the live lines away: the report comes next.
    pub fn end(&self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}
