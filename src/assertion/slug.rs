//! Parts of ids.

/// `text` in lower case, with `-` for everything but letters and digits of any script; at most 40
/// characters.
pub fn slug(text: &str) -> String {
    let dashed: String = text
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(40).collect();
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_of_any_script_stay() {
        for (text, expected) in [
            ("Web answers!", "web-answers"),
            ("日本 2", "日本-2"),
            ("Größe", "größe"),
            ("!!!", ""),
            (&"é".repeat(50), &"é".repeat(40)),
        ] {
            assert_eq!(slug(text), expected);
        }
    }
}
