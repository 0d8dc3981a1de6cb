//! Each fuzz property holds for its whole corpus: seeds, inputs that reach most of the code, and
//! inputs that once broke something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/properties.rs"]
pub mod properties;

type Property = fn(&[u8]);

/// Each fuzz target and its property.
const TARGETS: [(&str, Property); 8] = [
    ("harmless", properties::harmless_text),
    ("inventory", properties::inventory),
    ("known_hosts", properties::known_hosts),
    ("recipe", properties::recipe),
    ("redactor", properties::redactor),
    ("reports", properties::reports),
    ("socket_tables", properties::socket_tables),
    ("suite", properties::suite),
];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn each_property_holds_for_its_whole_corpus() {
    for (target, property) in TARGETS {
        let inputs = files(&format!("corpus/{target}"));
        assert!(inputs.len() > 3, "{target} has no corpus");
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "the property does not hold for {}", path.display());
        }
    }
}

#[test]
fn each_fuzz_target_is_in_the_table() {
    let names = files("fuzz_targets")
        .into_iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(
        names.collect::<BTreeSet<_>>(),
        TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect()
    );
}
