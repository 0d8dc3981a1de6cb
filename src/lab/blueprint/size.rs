//! A size as people write it: `4`, `"4 GB"`, `"4096 MB"`. GB and GiB mean the same here, as they do
//! for a hypervisor.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// Whole GiB: inventories and recipes have no smaller unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub u32);

/// A petabyte; more is a mistake.
const GB_AT_MOST: u32 = 1024 * 1024;

impl Size {
    /// A number of MiB as a size.
    pub fn of_mb(mb: u32) -> Result<Self, Problem> {
        read(&format!("{mb} MB"))
    }
}

fn read(text: &str) -> Result<Size, Problem> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let wrong = |why: &str| {
        Problem::new(format!("`{text}` {why}: write a number of GB, \"4 GB\" or \"4096 MB\""))
    };
    let mb_each = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "g" | "gb" | "gib" => 1024.0,
        "m" | "mb" | "mib" => 1.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0,
        _ => return Err(wrong("is not a size")),
    };
    let mb = number.parse::<f64>().map_err(|_| wrong("is not a size"))? * mb_each;
    // A whole number is written without a point.
    let gb = (mb / 1024.0).to_string().parse().ok().filter(|gb| (1..=GB_AT_MOST).contains(gb));
    gb.map(Size).ok_or_else(|| wrong("is not a whole number of GB"))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        read(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of GB, or a string with a unit: \"4 GB\", \"4096 MB\".",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 1}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_many_spellings() {
        for (text, gb) in [
            ("4", 4),
            ("4 GB", 4),
            ("4gb", 4),
            ("4G", 4),
            ("4 GiB", 4),
            ("4096 MB", 4),
            ("4.0", 4),
            ("1 TB", 1024),
        ] {
            assert_eq!(read(text), Ok(Size(gb)), "{text}");
        }
        assert_eq!(Size::of_mb(2048), Ok(Size(2)));
    }

    #[test]
    fn only_whole_numbers_of_gb_are_sizes() {
        for text in [
            "",
            "0",
            "-4",
            "4 apples",
            "512 MB",
            "1.5 GB",
            "[4]",
            "null",
            "1e9",
            "99999999 TB",
            "1.2.3",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
