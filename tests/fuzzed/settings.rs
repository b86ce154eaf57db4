//! The text of a settings file.

use std::path::Path;
use std::sync::LazyLock;

use rds_tether::settings::{Error, Flags, Settings};

const FILE: &str = "config.toml";
/// Stands in for a secret.
const SECRET: &str = "hunter2secret";
/// Where people put secrets, and with one.
const PLACES: [(&str, &str); 2] = [
    ("://u:@", "://u:hunter2secret@"),
    ("password=;", "password=hunter2secret;"),
];
/// What a line of an error has at most, in characters: twice what is worth reading, each as an escape.
const LINE_MAX: usize = 8000;
/// Settings that nothing is wrong with.
const GOOD: &str = "[[target_group]]
arn = \"arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef\"
endpoints = [\"db.example:5432\"]
";
/// What is wrong with the environment of this process, whatever the file says.
static ELSEWHERE: LazyLock<Vec<String>> = LazyLock::new(|| read(GOOD).err().iter().flat_map(Error::lines).collect());

fn read(text: &str) -> Result<Settings, Error> {
    Flags::of_text(Path::new(FILE), text.to_owned())
}

/// Settings are the same however TOML writes them; errors have a line each, and never a secret.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match read(text) {
        Ok(settings) => {
            let table: toml::Table = toml::from_str(text).expect("what was read");
            let written = table.to_string();
            match read(&written) {
                Ok(again) => assert_eq!(again, settings, "written as\n{written}"),
                Err(error) => panic!("{error}\nwritten as\n{written}"),
            }
        }
        Err(error) => {
            let count = text.split('\n').count();
            for line in error.lines().filter(|line| !ELSEWHERE.contains(line)) {
                let number = line
                    .strip_prefix(FILE)
                    .and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
                let number = number.and_then(|(number, _)| number.parse().ok());
                assert!(number.is_some_and(|number| (1..=count).contains(&number)), "{line}");
                assert!(
                    !line.contains(char::is_control) && line.chars().count() <= LINE_MAX,
                    "{line}"
                );
            }
        }
    }
    for (place, filled) in PLACES
        .iter()
        .filter(|(place, _)| text.contains(place) && !text.contains(SECRET))
    {
        if let Err(error) = read(&text.replace(place, filled)) {
            assert!(!error.to_string().contains(SECRET), "{error}");
        }
    }
}
