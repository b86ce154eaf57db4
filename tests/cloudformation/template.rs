//! The templates as CloudFormation reads them.

use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

/// What a template says, its short forms (`!Ref`) in their long ones (`{"Ref": ...}`).
#[track_caller]
pub fn read(text: &str) -> Value {
    long(yaml_serde::from_str(text).expect("YAML"))
}

/// The entries of a section, such as Parameters, by their names.
#[track_caller]
pub fn section<'a>(template: &'a Value, name: &str) -> &'a Map<String, Value> {
    template[name].as_object().unwrap_or_else(|| panic!("no {name}"))
}

fn long(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let (name, value) = (tagged.tag.to_string(), long(tagged.value));
            match (name.trim_start_matches('!'), value) {
                (name @ ("Ref" | "Condition"), value) => json!({ name: value }),
                ("GetAtt", Value::String(path)) => {
                    let (resource, attribute) = path.split_once('.').expect("an attribute of a resource");
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                (name, value) => json!({ format!("Fn::{name}"): value }),
            }
        }
        Yaml::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let key = key.as_str().expect("a name").to_owned();
                (key, long(value))
            });
            Value::Object(entries.collect())
        }
        Yaml::Sequence(items) => items.into_iter().map(long).collect(),
        plain => serde_json::to_value(plain).expect("what JSON has too"),
    }
}
