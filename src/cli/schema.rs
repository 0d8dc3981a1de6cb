//! `bootproof schema`: JSON Schemas of the files that bootproof reads and writes.

use clap::{Args, ValueEnum};
use schemars::{Schema, schema_for};

use super::output::show_exactly;
use crate::exit_code::ExitCode;
use crate::lab::blueprint::Blueprint;
use crate::lab::recipe::Recipe;
use crate::report::Report;
use crate::spec::inventory::InventoryFile;
use crate::spec::suite::SuiteFile;

/// Print the JSON Schema of a file format
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bootproof schema suite > suite.schema.json")]
pub struct SchemaArgs {
    /// File format
    #[arg(value_enum)]
    format: FileFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FileFormat {
    /// VMs and how to reach them
    Inventory,
    /// Scenarios and their assertions
    Suite,
    /// What one VM of the lab is made of
    Recipe,
    /// A foreign file that describes a whole lab, for `import`
    Blueprint,
    /// What `check --report-json` writes
    Report,
}

pub fn run(arguments: &SchemaArgs) -> ExitCode {
    let schema: Schema = match arguments.format {
        FileFormat::Inventory => schema_for!(InventoryFile),
        FileFormat::Suite => schema_for!(SuiteFile),
        FileFormat::Recipe => schema_for!(Recipe),
        FileFormat::Blueprint => Blueprint::schema(),
        FileFormat::Report => schema_for!(Report),
    };
    show_exactly(&format!("{:#}\n", schema.to_value()));
    ExitCode::Conforms
}
