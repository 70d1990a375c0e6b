//! `run --format sarif`: a result for each case that differs, at the line of its first difference, so
//! that code hosts annotate it: an error where something is not as written, a note where it is.
//!
//! The tests hold it against the standard's schema. `Sarif.Multitool validate --rule-kind "Sarif;Ghas"`
//! (5.7.0) misses an `informationUri` and nothing else: Tandem has no address.

use super::Entry;
use crate::Verdict;
use serde_json::{Value, json};

/// The document.
pub fn document(entries: &[Entry]) -> Value {
    let results: Vec<Value> = entries.iter().filter_map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tandem",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                // Code hosts want all three texts.
                "rules": RULES.map(|(id, text, help, level)| json!({
                    "id": id,
                    "shortDescription": { "text": text },
                    "fullDescription": { "text": text },
                    "help": { "text": help },
                    "defaultConfiguration": { "level": level },
                })),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// Each rule's name, what it says, what to do about it, and its level.
const RULES: [(&str, &str, &str, &str); 3] = [
    (
        "unexpected",
        "Two kernels do something else than the case and its golden say.",
        "Let `tandem explain` tell why. If it is right, say so in a line `# differs: ...`, or accept the golden.",
        "error",
    ),
    (
        "not-recorded",
        "A case could not be recorded on a kernel.",
        "The message says at which line the kernel or the case went wrong.",
        "error",
    ),
    (
        "differs-as-written",
        "Two kernels differ, and the case says why.",
        "Nothing is to be done; `tandem explain` tells more.",
        "note",
    ),
];

fn result(entry: &Entry) -> Option<Value> {
    let (rule, line, text) = match &entry.verdict {
        Verdict::Agrees => return None,
        Verdict::Differs => {
            let (line, what) = entry.first.clone().unwrap_or((1, String::new()));
            let reason = entry.reason.as_deref().unwrap_or_default();
            (2, line, format!("{what}\n{reason}"))
        }
        Verdict::Unexpected(surprise) => {
            let text = format!("{}\n\n{}", surprise.what, surprise.more);
            (usize::from(entry.failed), surprise.line, text)
        }
    };
    let (id, _, _, level) = RULES[rule];
    Some(json!({
        "ruleId": id,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": text.trim_end() },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&entry.shown) },
            "region": { "startLine": line.max(1) },
        } }],
        // Another run's result for the same case is the same finding, wherever its line has moved.
        "partialFingerprints": { "case/v1": format!("{id}:{}", entry.name) },
    }))
}

/// A path as a URI reference: relative as it is, absolute with its scheme.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut text = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match plain(byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::entries;
    use super::*;

    fn schema() -> jsonschema::Validator {
        let schema = include_str!("../../tests/schemas/sarif-2.1.0.json");
        let mut schema: Value = serde_json::from_str(schema).unwrap();
        // The standard's pattern for languages is no regular expression: it closes a bracket twice.
        for definition in ["run", "toolComponent"] {
            let language = &mut schema["definitions"][definition]["properties"]["language"];
            language.as_object_mut().unwrap().remove("pattern").unwrap();
        }
        jsonschema::validator_for(&schema).unwrap()
    }

    #[test]
    fn the_document_fits_the_schema_of_sarif() {
        let schema = schema();
        for entries in [entries(), Vec::new()] {
            let document = document(&entries);
            let errors: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
        }
        // The schema is one that refuses.
        let mut wrong = document(&entries());
        wrong["runs"][0]["results"][0]["level"] = json!("loud");
        assert!(!schema.is_valid(&wrong));
    }

    #[test]
    fn a_result_stands_at_the_cases_line() {
        let document = document(&entries());
        let results = document["runs"][0]["results"].as_array().unwrap();
        let places: Vec<(&str, u64, &str)> = results
            .iter()
            .map(|result| {
                let place = &result["locations"][0]["physicalLocation"];
                let line = place["region"]["startLine"].as_u64().unwrap();
                let uri = place["artifactLocation"]["uri"].as_str().unwrap();
                (uri, line, result["level"].as_str().unwrap())
            })
            .collect();
        let expected = [
            ("corpus/a/differs.case", 9, "note"),
            ("corpus/b/un%20expected.case", 7, "error"),
            ("corpus/stopped.case", 3, "error"),
        ];
        assert_eq!(places, expected);
        assert_eq!(uri("/tmp/a b.case"), "file:///tmp/a%20b.case");
    }
}
