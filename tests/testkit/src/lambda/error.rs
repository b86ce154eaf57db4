use std::str::Chars;

/// An error as a runtime reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionError {
    /// `errorType` of the body, or else the header; empty if neither is there.
    pub error_type: String,
    /// `errorMessage` of the body; empty if there is none.
    pub message: String,
    /// The header Lambda-Runtime-Function-Error-Type.
    pub header: Option<String>,
    /// The body as it was posted: what the caller of the function gets.
    pub body: String,
}

impl FunctionError {
    pub(super) fn new(header: Option<String>, body: String) -> Self {
        let error_type = text_field(&body, "errorType").or_else(|| header.clone());
        Self {
            error_type: error_type.unwrap_or_default(),
            message: text_field(&body, "errorMessage").unwrap_or_default(),
            header,
            body,
        }
    }
}

/// The string that a JSON object has under `name`; strings in nested values are passed over.
fn text_field(json: &str, name: &str) -> Option<String> {
    let mut rest = json.chars();
    let mut depth = 0_usize;
    let mut key = None;
    while let Some(c) = rest.next() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            ',' if depth == 1 => key = None,
            '"' => {
                let text = string(&mut rest)?;
                match &key {
                    _ if depth != 1 => {}
                    None => key = Some(text),
                    Some(key) if key == name => return Some(text),
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    None
}

/// The rest of a string whose opening quote has been read.
fn string(rest: &mut Chars<'_>) -> Option<String> {
    // JSON escapes are UTF-16, and a character may be two of them.
    let mut units: Vec<u16> = Vec::new();
    loop {
        let c = match rest.next()? {
            '"' => return Some(String::from_utf16_lossy(&units)),
            '\\' => match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    continue;
                }
                escaped => escaped,
            },
            plain => plain,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_from_the_top_of_the_object_only() {
        for (json, expected) in [
            (r#"{"errorType": "A.B", "errorMessage": "x"}"#, Some("A.B")),
            (
                r#"{"errorMessage":"\"errorType\": no","stackTrace":[],"errorType":"B"}"#,
                Some("B"),
            ),
            (r#"{"nested":{"errorType":"no"},"list":["errorType","no"]}"#, None),
            (r#"{"a":"errorType","b":"no"}"#, None),
            (
                r#"{"errorType":"caf\u00e9 \ud83d\ude00 \\ \/ \n."}"#,
                Some("café 😀 \\ / \n."),
            ),
            (r#"{"errorType":null}"#, None),
            (r#"{"errorType":"unfinished"#, None),
            ("]", None),
            ("", None),
        ] {
            assert_eq!(text_field(json, "errorType").as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn the_type_is_taken_from_the_body_or_else_from_the_header() {
        let of = |header: Option<&str>, body: &str| FunctionError::new(header.map(str::to_owned), body.to_owned());
        let both = of(
            Some("Unhandled"),
            r#"{"errorType":"Settings","errorMessage":"no port"}"#,
        );
        assert_eq!(
            (both.error_type.as_str(), both.message.as_str()),
            ("Settings", "no port")
        );
        assert_eq!(of(Some("Unhandled"), "not JSON").error_type, "Unhandled");
        assert_eq!(of(None, "").error_type, "");
    }
}
