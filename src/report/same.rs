//! Whether two reports say the same: but for times, and for what an operator would look at.

use super::Report;
use super::neutral::without_patience;
use super::row::{ResultRow, WireRow};
use super::vm::VmReport;
use crate::outcome::VerdictKind;

/// What a row says.
type Said<'a> = (&'a str, VerdictKind, &'a str, Option<&'a WireRow>);

/// Which machine a VM is, and why its verdicts may not be reliable.
type Seen<'a> = (&'a str, [Option<&'a String>; 3], &'a [String]);

impl Report {
    /// Whether the same assertions have the same verdicts and messages, on the same machines.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.complete == other.complete
            && self.shard == other.shard
            && self.results.iter().map(said).eq(other.results.iter().map(said))
            && self.vms.iter().map(seen).eq(other.vms.iter().map(seen))
    }
}

fn said(row: &ResultRow) -> Said<'_> {
    let message = row.message.as_deref().map_or("", without_patience);
    (&row.id, row.verdict, message, row.wire.as_ref())
}

fn seen(vm: &VmReport) -> Seen<'_> {
    (&vm.name, [vm.host_key.as_ref(), vm.machine_id.as_ref(), vm.boot_id.as_ref()], &vm.unstable)
}
