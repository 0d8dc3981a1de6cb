//! The live display of more VMs than there is room for: one line that counts them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::live::LiveLines;
use crate::report::text::counted;
use crate::run::Event;

/// After this time there is a first line where nothing can be overwritten, such as in the log of a
/// CI server; each later one takes twice as long as the one before it.
const FIRST_LINE_AFTER: Duration = Duration::from_secs(10);

/// The line.
pub(super) struct Crowd {
    line: LiveLines,
    title: String,
    counts: Mutex<Counts>,
}

/// What it says.
struct Counts {
    assertions: usize,
    done: usize,
    waiting: HashSet<String>,
    ready: HashSet<String>,
    lost: HashSet<String>,
    next_line: Instant,
    pause: Duration,
}

impl Crowd {
    pub(super) fn new(vms: usize, assertions: usize) -> Self {
        let title = counted(vms, "VM");
        let line = LiveLines::with_counters([(title.as_str(), assertions)], "connecting");
        Self { line, title, counts: Mutex::new(Counts::new(assertions)) }
    }

    pub(super) fn show(&self, event: &Event) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.note(event);
        if self.line.is_live() {
            self.line.set(&self.title, &counts.vms());
            if matches!(event, Event::Done { .. }) {
                self.line.advance(&self.title);
            }
        } else if counts.is_due() {
            let Counts { done, assertions, .. } = *counts;
            let text = format!("{}; {done} of {assertions} assertions done", counts.vms());
            self.line.set(&self.title, &text);
        }
    }

    pub(super) fn clear(&self) {
        self.line.clear();
    }
}

impl Counts {
    fn new(assertions: usize) -> Self {
        Self {
            assertions,
            done: 0,
            waiting: HashSet::new(),
            ready: HashSet::new(),
            lost: HashSet::new(),
            next_line: Instant::now() + FIRST_LINE_AFTER,
            pause: FIRST_LINE_AFTER,
        }
    }

    fn note(&mut self, event: &Event) {
        let (vm, set) = match event {
            Event::Waiting { vm, .. } => (vm, &mut self.waiting),
            Event::Ready { vm } => (vm, &mut self.ready),
            Event::Lost { cause } => (&cause.vm, &mut self.lost),
            Event::Done { .. } => {
                self.done += 1;
                return;
            }
        };
        set.insert(vm.clone());
    }

    /// `40 logged in, 8 waiting, 2 given up`
    fn vms(&self) -> String {
        let ready = self.ready.difference(&self.lost).count();
        let waits = |vm: &&String| !self.ready.contains(*vm) && !self.lost.contains(*vm);
        let waiting = self.waiting.iter().filter(waits).count();
        let mut text = format!("{ready} logged in");
        for (count, what) in [(waiting, "waiting"), (self.lost.len(), "given up")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }

    /// Whether it is time for a line.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next_line {
            return false;
        }
        self.pause *= 2;
        self.next_line = now + self.pause;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_counts_once_and_as_what_it_is_now() {
        let mut counts = Counts::new(9);
        for vm in ["web1", "web1", "web2"] {
            counts.note(&Event::Waiting { vm: vm.to_owned(), why: "refused".to_owned() });
        }
        assert_eq!(counts.vms(), "0 logged in, 2 waiting");
        counts.note(&Event::Ready { vm: "web1".to_owned() });
        assert_eq!(counts.vms(), "1 logged in, 1 waiting");
    }

    #[test]
    fn lines_come_more_and_more_rarely() {
        let mut counts = Counts::new(9);
        assert!(!counts.is_due());
        counts.next_line = Instant::now();
        assert!(counts.is_due() && !counts.is_due());
        assert_eq!(counts.pause, FIRST_LINE_AFTER * 2);
    }
}
