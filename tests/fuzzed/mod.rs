//! Whatever others send is read without harm. Each target takes bytes as somebody else sends them, has the program read them, and
//! checks what came of it. `fuzz/` has libFuzzer make the bytes; what it kept is read again here.
#![allow(clippy::unwrap_used)]

mod alone;
mod answer;
mod aws;
mod clocks;
mod credentials;
mod document;
pub mod event;
mod header;
mod member;
mod name_servers;
mod request;
mod settings;
mod tags;

/// A target: bytes of others, as long as whatever is made of them is right.
pub type Check = fn(&[u8]);

/// The targets, each by the name of its corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("answer", answer::check),
    ("aws", aws::check),
    ("clocks", clocks::check),
    ("credentials", credentials::check),
    ("document", document::check),
    ("event", event::check_text),
    ("header", header::check),
    ("member", member::check),
    ("name_servers", name_servers::check),
    ("request", request::check),
    ("settings", settings::check),
    ("tags", tags::check),
];

#[cfg(test)]
mod replay {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    use super::TARGETS;

    /// What libFuzzer's search needs of each, and what a checkout can carry.
    const FILES: std::ops::RangeInclusive<usize> = 3..=64;
    const BYTES_MAX: usize = 100 << 10;

    #[test]
    fn what_was_found_once_is_read_again() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let list = |folder: &Path| -> BTreeSet<_> {
            let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let named = TARGETS.iter().map(|(name, _)| corpus.join(name)).collect();
        assert_eq!(list(&corpus), named, "a folder for each target");
        let mut failed = Vec::new();
        for (name, check) in TARGETS {
            let files = list(&corpus.join(name));
            assert!(FILES.contains(&files.len()), "{name} has {} files", files.len());
            let mut bytes = 0;
            for file in files {
                let data = fs::read(&file).unwrap();
                bytes += data.len();
                if catch_unwind(|| check(&data)).is_err() {
                    failed.push(file);
                }
            }
            assert!(bytes <= BYTES_MAX, "{name} has {bytes} bytes");
        }
        assert!(failed.is_empty(), "{failed:?}");
    }
}
