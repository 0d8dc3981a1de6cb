//! Reads a JSON value strictly: serde alone would take `[]` for an object without keys.
//!
//! One thing is not strict: the text that a template became can be the number or the truth value
//! that its place needs.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, Visitor};
use serde_json::{Number, Value};

use super::delimiters::is_template;

/// A JSON value whose lists are never read as objects.
#[derive(Clone, Copy)]
pub(super) struct Strict<'a> {
    value: &'a Value,
    /// The value as it was written, before its templates were rendered.
    written: Option<&'a Value>,
}

impl<'a> Strict<'a> {
    pub fn new(value: &'a Value) -> Self {
        Self { value, written: None }
    }

    /// A value that may have come from templates.
    pub fn rendered(value: &'a Value, written: &'a Value) -> Self {
        Self { value, written: Some(written) }
    }

    /// The text that a template became.
    fn template_text(self) -> Option<&'a str> {
        let written = self.written?.as_str()?;
        self.value.as_str().filter(|_| is_template(written))
    }

    /// Reads a number, which may have come from a template.
    fn number<'de: 'a, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error>
    where
        'a: 'de,
    {
        match self.template_text().and_then(|text| text.trim().parse::<Number>().ok()) {
            Some(number) => number.deserialize_any(visitor),
            None => self.deserialize_any(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Array(list) => {
                let items = list.iter().enumerate().map(|(index, value)| Strict {
                    value,
                    written: self.written.and_then(|written| written.get(index)),
                });
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Value::Object(keys) => {
                let entries = keys.iter().map(|(key, value)| {
                    let written = self.written.and_then(|written| written.get(key));
                    (key.as_str(), Strict { value, written })
                });
                visitor.visit_map(MapDeserializer::new(entries))
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.value.is_array() {
            return Err(Error::custom("expected an object, found a list"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.template_text().and_then(|text| text.trim().parse().ok()) {
            Some(truth) => visitor.visit_bool(truth),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.number(visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
