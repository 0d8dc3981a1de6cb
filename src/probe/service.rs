//! How to look at services: one `systemctl show` for all of them.

use super::context::{ProbeContext, Unanswered};
use super::together::Look;
use crate::assertion::Seen;
use crate::assertion::script::fitting;
use crate::assertion::service::{Services, parse_services, read_services};

pub(super) async fn look(unit: &str, context: &ProbeContext) -> Result<Seen<Services>, Unanswered> {
    let vm = &context.vm;
    let look = Look {
        fact: &vm.services,
        run_as_root: false,
        script: &read_services,
        parse: &|_, printed| parse_services(&printed.stdout.text, &printed.stderr.text),
        is_complete: &|services: &Services| services.know(unit),
    };
    look.ask(context, &fitting(&[unit], &vm.wanted.units), &[unit]).await
}
