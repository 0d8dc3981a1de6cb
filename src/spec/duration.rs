//! A duration, as people write it in files and flags.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// `"90s"`, `"5m"`, `"1h 30m"` (humantime), or a number of seconds; at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Nothing that bootproof waits for may take longer.
const LONGEST: Duration = Duration::from_hours(24);

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidDuration {
    /// It is longer than a day.
    #[error("`{0}` is longer than a day")]
    TooLong(String),
    /// It is something else.
    #[error("`{text}` is not a duration ({why}); write \"90s\", \"5m\" or a number of seconds")]
    Unreadable {
        /// The text.
        text: String,
        /// What the parser says.
        why: String,
    },
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let text = text.trim();
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    match duration {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(InvalidDuration::TooLong(text.to_owned())),
        Err(why) => Err(InvalidDuration::Unreadable { text: text.to_owned(), why }),
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Seconds(serde_json::Number),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Seconds(number) => number.to_string(),
            Written::Text(text) => text,
        };
        parse(&text).map(Span).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description":
                "\"90s\", \"5m\", \"1h 30m\", or a number of seconds; at most a day.",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_units_and_plain_seconds() {
        for (text, milliseconds) in
            [("90s", 90_000), ("5m", 300_000), ("2", 2_000), ("0.5", 500), ("250ms", 250)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_duration() {
        for text in ["", "-1", "soon", "5 parsecs", "NaN", "inf", "1e300", "2 days"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
