//! The report as JUnit XML, as Jenkins, GitLab and others read it: one test suite for each VM.
//!
//! The message is in the attribute (for Jenkins) and in the text (for GitLab). `failed` is a
//! `failure`;
//! `errored`, `blocked` and `not-run` are an `error`; only what is not selected is `skipped`.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::ElementWriter;

use super::Report;
use super::explain::explain;
use super::row::ResultRow;
use super::text::{harmless, harmless_line};
use super::totals::Totals;
use super::vm::VmReport;
use crate::outcome::{Attempt, Cause, VerdictKind};

type Xml = Writer<Vec<u8>>;

/// Renders the report.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn render(report: &Report) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write_report(&mut xml, report).expect("writing to memory does not fail");
    let mut text = String::from_utf8(xml.into_inner()).expect("only text was written");
    text.push('\n');
    text
}

fn write_report(xml: &mut Xml, report: &Report) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let unstable = report.vms.iter().filter(|vm| !vm.unstable.is_empty()).count();
    let extra = unstable + report.coverage.failures().len();
    let root = counted(xml.create_element("testsuites"), report.totals, extra)
        .with_attribute(("name", harmless_line(&report.lab).as_str()))
        .with_attribute(("timestamp", report.started.as_str()))
        .with_attribute(("time", seconds(report.duration_ms).as_str()));
    root.write_inner_content(|xml| {
        report.rows_by_vm().iter().try_for_each(|(vm, rows)| write_suite(xml, report, vm, rows))
    })?;
    Ok(())
}

/// `extra` is the number of cases without an assertion: an unstable VM, a port without coverage.
fn counted(
    element: ElementWriter<'_, Vec<u8>>,
    totals: Totals,
    extra: usize,
) -> ElementWriter<'_, Vec<u8>> {
    let errors = totals.errored + totals.blocked + totals.not_run + extra;
    element
        .with_attribute(("tests", (totals.assertions + extra).to_string().as_str()))
        .with_attribute(("failures", totals.failed.to_string().as_str()))
        .with_attribute(("errors", errors.to_string().as_str()))
        .with_attribute(("skipped", totals.not_selected.to_string().as_str()))
}

fn write_suite(
    xml: &mut Xml,
    report: &Report,
    vm: &VmReport,
    rows: &[&ResultRow],
) -> io::Result<()> {
    let time = rows.iter().map(|row| row.duration_ms).max().unwrap_or(0);
    let totals = Totals::count(rows.iter().map(|row| row.verdict));
    let uncovered: Vec<_> =
        report.coverage.failures().iter().filter(|row| row.vm == vm.name).collect();
    let extra = usize::from(!vm.unstable.is_empty()) + uncovered.len();
    let suite = counted(xml.create_element("testsuite"), totals, extra)
        .with_attribute(("name", vm.name.as_str()))
        .with_attribute(("hostname", vm.name.as_str()))
        .with_attribute(("timestamp", report.started.as_str()))
        .with_attribute(("time", seconds(time).as_str()));
    suite.write_inner_content(|xml| {
        write_properties(xml, vm)?;
        rows.iter().try_for_each(|row| write_case(xml, report, row))?;
        write_instability(xml, report, vm)?;
        uncovered.iter().try_for_each(|row| {
            write_error(xml, report, vm, &row.id, "uncovered", &row.message, "")
        })?;
        let pieces = vm
            .evidence
            .iter()
            .map(|piece| format!("== {}\n{}\n", harmless_line(&piece.about), piece.text));
        write_text(xml, "system-out", &pieces.collect::<String>())?;
        let warnings = vm.warnings.iter().map(|warning| format!("warning: {warning}"));
        let lines: Vec<_> = vm.cause.iter().map(Cause::to_string).chain(warnings).collect();
        write_text(xml, "system-err", &lines.join("\n"))
    })?;
    Ok(())
}

/// A case of its own: a reader of JUnit alone must not mix the answers of two boots.
fn write_instability(xml: &mut Xml, report: &Report, vm: &VmReport) -> io::Result<()> {
    if vm.unstable.is_empty() {
        return Ok(());
    }
    let message = format!("do not rely on the verdicts of {}", vm.name);
    let id = format!("unstable::{}", vm.name);
    write_error(xml, report, vm, &id, "unstable", &message, &vm.unstable.join("\n"))
}

/// A case without an assertion.
fn write_error(
    xml: &mut Xml,
    report: &Report,
    vm: &VmReport,
    id: &str,
    kind: &str,
    message: &str,
    more: &str,
) -> io::Result<()> {
    let case = xml
        .create_element("testcase")
        .with_attribute((
            "classname",
            format!("{}.{}", harmless_line(&report.lab), vm.name).as_str(),
        ))
        .with_attribute(("name", id))
        .with_attribute(("time", "0.000"));
    case.write_inner_content(|xml| {
        xml.create_element("error")
            .with_attribute(("message", message))
            .with_attribute(("type", kind))
            .write_text_content(BytesText::new(
                harmless(&format!("{message}\n{more}")).trim_end(),
            ))?;
        Ok(())
    })?;
    Ok(())
}

fn write_properties(xml: &mut Xml, vm: &VmReport) -> io::Result<()> {
    let at = |milliseconds: Option<u64>| milliseconds.map(seconds);
    let timeline = &vm.timeline;
    let [tcp, banner, login, running] =
        [timeline.tcp_ms, timeline.banner_ms, timeline.login_ms, timeline.running_ms].map(at);
    let known = [
        ("address", Some(&vm.address)),
        ("banner", vm.banner.as_ref()),
        ("host_key", vm.host_key.as_ref()),
        ("machine_id", vm.machine_id.as_ref()),
        ("boot_id", vm.boot_id.as_ref()),
        ("kernel", vm.kernel.as_ref()),
        ("os_release", vm.os_release.as_ref()),
        ("tcp_after", tcp.as_ref()),
        ("banner_after", banner.as_ref()),
        ("login_after", login.as_ref()),
        ("running_after", running.as_ref()),
        ("system", timeline.system.as_ref()),
    ];
    xml.create_element("properties").write_inner_content(|xml| {
        for (name, value) in known.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let property = xml.create_element("property").with_attribute(("name", name));
            property.with_attribute(("value", harmless_line(value).as_str())).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn write_case(xml: &mut Xml, report: &Report, row: &ResultRow) -> io::Result<()> {
    let case = xml
        .create_element("testcase")
        .with_attribute((
            "classname",
            format!("{}.{}", harmless_line(&report.lab), row.vm).as_str(),
        ))
        .with_attribute(("name", row.id.as_str()))
        .with_attribute(("time", seconds(row.duration_ms).as_str()))
        .with_attribute(("file", harmless_line(&row.file).as_str()))
        .with_attribute(("line", row.line.to_string().as_str()));
    case.write_inner_content(|xml| {
        write_verdict(xml, row)?;
        write_earlier_attempts(xml, row)?;
        let Some(output) = &row.output else { return Ok(()) };
        write_text(xml, "system-out", &output.stdout.text)?;
        write_text(xml, "system-err", &output.stderr.text)
    })?;
    Ok(())
}

fn write_verdict(xml: &mut Xml, row: &ResultRow) -> io::Result<()> {
    let element = match row.verdict {
        VerdictKind::Passed => return Ok(()),
        VerdictKind::Failed => "failure",
        VerdictKind::Errored | VerdictKind::Blocked | VerdictKind::NotRun => "error",
        VerdictKind::NotSelected => "skipped",
    };
    let message = row.message.as_deref().unwrap_or_default();
    let element =
        xml.create_element(element).with_attribute(("message", harmless_line(message).as_str()));
    let element = match row.verdict {
        VerdictKind::NotSelected => element,
        kind => element.with_attribute(("type", kind.word())),
    };
    element.write_text_content(BytesText::new(&harmless(&explain(row))))?;
    Ok(())
}

/// Jenkins shows a case that passed in the end as flaky, and the attempts of one that did not.
fn write_earlier_attempts(xml: &mut Xml, row: &ResultRow) -> io::Result<()> {
    let element = if row.verdict == VerdictKind::Passed { "flakyFailure" } else { "rerunFailure" };
    let earlier = row.attempts.len().saturating_sub(1);
    let not_passed =
        row.attempts[..earlier].iter().filter(|attempt| attempt.verdict != VerdictKind::Passed);
    for Attempt { started_ms, duration_ms, verdict, message } in not_passed {
        let message = message.as_deref().unwrap_or_default();
        let tried = format!(
            "attempt at {} s, took {} s: {message}",
            seconds(*started_ms),
            seconds(*duration_ms)
        );
        xml.create_element(element)
            .with_attribute(("message", harmless_line(message).as_str()))
            .with_attribute(("type", verdict.word()))
            .write_inner_content(|xml| write_text(xml, "stackTrace", &tried))?;
    }
    Ok(())
}

fn write_text(xml: &mut Xml, element: &str, text: &str) -> io::Result<()> {
    if !text.is_empty() {
        xml.create_element(element).write_text_content(BytesText::new(&harmless(text)))?;
    }
    Ok(())
}

/// Plain decimal seconds: some readers do not accept an exponent.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
