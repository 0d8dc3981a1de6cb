//! A length of time, as people write it in files and flags.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `"90s"`, `"5m"`, `"1h 30m"` (humantime), or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Nothing that bootproof waits for is allowed to take longer than a day.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads a length of time; the error says what can stand here.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let span = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    match span {
        Ok(span) if span <= LONGEST => Ok(span),
        Ok(_) => Err(format!("`{text}` is longer than a day")),
        Err(error) => Err(format!(
            "`{text}` is no length of time ({error}); write \"90s\", \"5m\" or a number of seconds"
        )),
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
            "description": "A length of time: \"90s\", \"5m\", \"1h 30m\", or a number of seconds.",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_seconds_in_many_ways() {
        for (text, milliseconds) in
            [("90s", 90_000), ("5m", 300_000), ("2", 2_000), ("0.5", 500), ("250ms", 250)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "-1", "soon", "5 parsecs", "NaN", "inf", "1e300", "2 days"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
