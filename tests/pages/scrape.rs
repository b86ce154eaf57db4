//! What Prometheus' text format says.

use std::collections::BTreeMap;

use super::site::Site;

/// One line of a scrape.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// A page of metrics.
#[derive(Debug)]
pub struct Scrape {
    pub text: String,
    /// Type and help by name, as described before the samples.
    pub families: BTreeMap<String, (String, String)>,
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// The page as it is now.
    #[track_caller]
    pub fn of(site: &Site) -> Self {
        Self::read(&site.get("/metrics").body)
    }

    /// Reads a page; each family is described before its samples, once.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut helps: BTreeMap<String, String> = BTreeMap::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(
                    helps.insert(name.into(), help.into()).is_none(),
                    "described twice: {name}"
                );
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                let help = helps.get(name).unwrap_or_else(|| panic!("no help before {line}"));
                let before = families.insert(name.into(), (kind.into(), help.clone()));
                assert!(before.is_none(), "described twice: {name}");
            } else {
                samples.push(Sample::read(line));
            }
        }
        let text = text.to_owned();
        Self {
            text,
            families,
            samples,
        }
    }

    /// The family that a sample belongs to.
    #[track_caller]
    pub fn family(&self, sample: &Sample) -> (&str, &str) {
        let endings = ["", "_bucket", "_sum", "_count"];
        let found = endings.iter().find_map(|ending| {
            let (name, (kind, _)) = self.families.get_key_value(sample.name.strip_suffix(ending)?)?;
            (ending.is_empty() || kind == "histogram").then_some((name.as_str(), kind.as_str()))
        });
        found.unwrap_or_else(|| panic!("{} is not described", sample.name))
    }

    /// The value of the one sample with this name and at least these labels.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            let mut labels = labels.iter();
            sample.name == name && labels.all(|(name, value)| sample.labels.get(*name).is_some_and(|is| is == value))
        };
        let found: Vec<&Sample> = self.samples.iter().filter(has).collect();
        assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
        found.first().map(|sample| sample.value)
    }
}

impl Sample {
    #[track_caller]
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels
            .strip_suffix('}')
            .unwrap_or_else(|| panic!("labels do not end: {line:?}"));
        // No value here has a quote or a comma in it; a scrape by Prometheus itself reads all that there can be.
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            (name.to_owned(), value.strip_suffix('"').expect(line).to_owned())
        });
        Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.parse().unwrap_or_else(|_| panic!("{line:?}")),
        }
    }
}
