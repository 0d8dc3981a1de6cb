//! The screen that a report is for: its colours and its width.

use console::Style;

use crate::outcome::VerdictKind;

/// The width of the verdict column.
const VERDICT_WIDTH: usize = 8;

/// The columns before what a line is about: the indentation, the verdict and a space.
pub(super) const MARGIN: usize = 2 + VERDICT_WIDTH + 1;

/// What the screen can show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    /// Whether it shows colours.
    pub colour: bool,
    /// Columns, if lines must fit; `None` for a file, a pipe, or the log of a CI server.
    pub width: Option<usize>,
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
}
