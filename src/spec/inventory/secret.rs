//! Where secrets come from. They stay there until a session needs them.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::paths::relative_to;

/// A secret: the text itself, or `{"env": NAME}` or `{"file": PATH}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SecretSource {
    /// The secret itself.
    Literal(
        #[serde(serialize_with = "write_literal", deserialize_with = "read_literal")]
        #[schemars(with = "String")]
        Zeroizing<String>,
    ),
    /// The place to read it from.
    Named(SecretPlace),
}

/// A place that holds a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum SecretPlace {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file, relative to the inventory; its first line is the secret.
    File(PathBuf),
}

fn read_literal<'a, D: Deserializer<'a>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn write_literal<S: Serializer>(secret: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret)
}

impl SecretSource {
    pub(super) fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Named(SecretPlace::File(path)) => {
                Self::Named(SecretPlace::File(relative_to(folder, &path)))
            }
            Self::Literal(_) | Self::Named(SecretPlace::Env(_)) => self,
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(***)"),
            Self::Named(place) => place.fmt(formatter),
        }
    }
}

impl fmt::Debug for SecretPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(formatter, "Env({name})"),
            Self::File(path) => write!(formatter, "File({})", path.display()),
        }
    }
}
