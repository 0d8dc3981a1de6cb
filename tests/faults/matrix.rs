//! The fault matrix: one row for each planted fault.

use std::fmt;
use std::time::Duration;

use bootproof::problem::Problem;

use super::third::Third;

/// Where the matrix is kept for those who did not watch.
const FILE: &str = "reports/faults.txt";

/// The faults that were planted, of how many.
pub struct Matrix {
    third: Option<Third>,
    /// How many faults the file has.
    all: usize,
    pub rows: Vec<Row>,
}

/// One fault: what it demands and what the suites reported.
pub struct Row {
    pub fault: String,
    pub expected: String,
    pub reported: String,
    pub took: Duration,
    /// Why nothing should be red.
    pub why_green: Option<String>,
    /// Where the report is not what the fault demands.
    pub differences: Vec<String>,
}

impl Matrix {
    /// An empty matrix for a file with `all` faults.
    pub fn new(third: Option<Third>, all: usize) -> Self {
        Self { third, all, rows: Vec::new() }
    }

    /// Prints the matrix and writes it to its file; does nothing if no fault was planted.
    pub fn publish(&self) -> Result<(), Problem> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let text = self.to_string();
        println!("{text}");
        std::fs::write(FILE, text).map_err(Problem::io(format!("write {FILE}")))
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let planted = self.rows.len();
        if let Some(third) = self.third {
            writeln!(formatter, "{third}: {planted} of {} faults", self.all)?;
        }
        let (fault, expected, got, time) = ("fault", "expected", "got", "time");
        writeln!(formatter, "{fault:52} {expected:32} {got:32} {time:>6}  verdict")?;
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
        }
        let agreeing = self.rows.iter().filter(|row| row.differences.is_empty()).count();
        writeln!(formatter, "{agreeing} of {planted} faults are as expected")
    }
}

impl Row {
    /// An error with all differences, if there is one.
    pub fn result(&self) -> Result<(), String> {
        if self.differences.is_empty() { Ok(()) } else { Err(self.differences.join("\n")) }
    }

    fn verdict(&self) -> String {
        match &self.why_green {
            _ if !self.differences.is_empty() => "DIFFERS".to_owned(),
            Some(why) => format!("as expected: {why}"),
            None => "found".to_owned(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, expected, reported, took, .. } = self;
        let seconds = took.as_secs();
        let verdict = self.verdict();
        write!(formatter, "{fault:52} {expected:32} {reported:32} {seconds:>4} s  {verdict}")
    }
}
