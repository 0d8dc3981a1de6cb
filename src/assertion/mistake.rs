//! Mistakes in what a suite expects.

/// A mistake that shows without looking at a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key that is wrong.
    pub key: &'static str,
    /// What is wrong, as a fragment in lower case.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Mistake {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}
