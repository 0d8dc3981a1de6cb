//! The screen that a report is for: its colours, its width, and how much it shows.

use console::Style;

use crate::outcome::VerdictKind;
use crate::report::fold::{Same, Vms};

/// The width of the verdict column.
const VERDICT_WIDTH: usize = 8;

/// The columns before what a line is about: the indentation, the verdict and a space.
pub(super) const MARGIN: usize = 2 + VERDICT_WIDTH + 1;

/// How many different texts about the same thing are shown; `-v` shows all.
const DIFFERENT_TEXTS: usize = 5;

/// What the screen can show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    /// Whether it shows colours.
    pub colour: bool,
    /// Columns, if lines must fit; `None` for a file, a pipe, or the log of a CI server.
    pub width: Option<usize>,
    /// Whether to list every assertion of every VM, and every message.
    pub verbose: bool,
}

impl Screen {
    fn with(self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.with(Style::new().yellow().bold(), text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with(Style::new().green().bold(), text)
    }

    /// The verdict's word, padded to its column.
    pub(super) fn verdict(self, kind: VerdictKind) -> String {
        let style = match kind {
            VerdictKind::Passed => Style::new().green(),
            VerdictKind::Failed => Style::new().red().bold(),
            _ => Style::new().yellow().bold(),
        };
        self.with(style, &format!("{:VERDICT_WIDTH$}", kind.word()))
    }

    /// Whether a line of this many characters fits.
    pub(super) fn fits(self, characters: usize) -> bool {
        self.width.is_none_or(|width| characters <= width)
    }

    /// The verdict, what it is about, and a remark; the remark is below where the screen is too
    /// narrow. `width` is that of the widest thing in the list.
    pub(super) fn line(
        self,
        verdict: VerdictKind,
        about: &str,
        width: usize,
        remark: &str,
    ) -> String {
        let verdict = self.verdict(verdict);
        let remark_width = remark.chars().count();
        if self.fits(MARGIN + width + 2 + remark_width) {
            format!("{}\n", format!("  {verdict} {about:width$}  {remark}").trim_end())
        } else if self.fits(MARGIN + about.chars().count() + 2 + remark_width) {
            format!("  {verdict} {about}  {remark}\n")
        } else {
            format!("  {verdict} {about}\n{:MARGIN$}{remark}\n", "")
        }
    }

    /// The texts to show, and those that are only counted.
    pub(super) fn split<'s, 'a, T>(
        self,
        texts: &'s [Same<'a, T>],
    ) -> (&'s [Same<'a, T>], &'s [Same<'a, T>]) {
        // To count a single text is no shorter than to show it.
        if self.verbose || texts.len() <= DIFFERENT_TEXTS + 1 {
            (texts, &[])
        } else {
            texts.split_at(DIFFERENT_TEXTS)
        }
    }
}

/// The VMs of several texts, as a node set.
pub(super) fn nodes_of<T>(texts: &[Same<'_, T>], vms: &Vms) -> String {
    vms.nodes(texts.iter().flat_map(Same::vms))
}
