//! `run --format junit`: a test suite for each topic, a test case for each case. Times are left out:
//! the same run prints the same bytes.

use super::Entry;
use crate::Verdict;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io::{self, Cursor};

/// The document.
///
/// # Errors
/// None that writing to memory has.
pub fn document(entries: &[Entry]) -> io::Result<String> {
    let mut out = Writer::new_with_indent(Cursor::new(Vec::new()), b' ', 2);
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (tests, failures, errors) = counts(entries.iter());
    out.create_element("testsuites")
        .with_attributes([
            ("name", "tandem"),
            ("tests", tests.as_str()),
            ("failures", failures.as_str()),
            ("errors", errors.as_str()),
        ])
        .write_inner_content(|out| {
            let mut topics: Vec<&str> = entries.iter().map(|entry| entry.parts().0).collect();
            topics.sort_unstable();
            topics.dedup();
            for topic in topics {
                suite(out, topic, entries.iter().filter(|entry| entry.parts().0 == topic))?;
            }
            Ok(())
        })?;
    let mut text = String::from_utf8(out.into_inner().into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

type Out = Writer<Cursor<Vec<u8>>>;

fn suite<'e>(out: &mut Out, topic: &str, entries: impl Iterator<Item = &'e Entry> + Clone) -> io::Result<()> {
    let (tests, failures, errors) = counts(entries.clone());
    let name = if topic.is_empty() { "cases".to_owned() } else { plain(topic) };
    out.create_element("testsuite")
        .with_attributes([
            ("name", name.as_str()),
            ("tests", tests.as_str()),
            ("failures", failures.as_str()),
            ("errors", errors.as_str()),
            ("skipped", "0"),
        ])
        .write_inner_content(|out| entries.into_iter().try_for_each(|entry| case(out, &name, entry)))?;
    Ok(())
}

fn case(out: &mut Out, suite: &str, entry: &Entry) -> io::Result<()> {
    let name = plain(entry.parts().1);
    let element =
        out.create_element("testcase").with_attributes([("name", name.as_str()), ("classname", suite)]);
    match &entry.verdict {
        Verdict::Agrees => element.write_empty()?,
        Verdict::Differs => element.write_inner_content(|out| {
            let reason = entry.reason.as_deref().unwrap_or_default();
            let text = plain(&format!("differs as written: {reason}"));
            out.create_element("system-out").write_text_content(BytesText::new(&text))?;
            Ok(())
        })?,
        Verdict::Unexpected(surprise) => element.write_inner_content(|out| {
            let (kind, of) = if entry.failed { ("error", "not recorded") } else { ("failure", "unexpected") };
            let message = plain(&surprise.what);
            let text = format!("{}:{}: {}\n\n{}", entry.shown, surprise.line, surprise.what, surprise.more);
            out.create_element(kind)
                .with_attributes([("type", of), ("message", message.as_str())])
                .write_text_content(BytesText::new(&plain(&text)))?;
            Ok(())
        })?,
    };
    Ok(())
}

/// How many tests, failures and errors.
fn counts<'e>(entries: impl Iterator<Item = &'e Entry>) -> (String, String, String) {
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for entry in entries {
        tests += 1;
        if entry.failed {
            errors += 1;
        } else if matches!(entry.verdict, Verdict::Unexpected(_)) {
            failures += 1;
        }
    }
    (tests.to_string(), failures.to_string(), errors.to_string())
}

/// Text without the characters that XML 1.0 cannot hold at all.
fn plain(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{1_0000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{FFFD}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::entries;
    use super::*;
    use quick_xml::Reader;
    use quick_xml::events::BytesStart;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// The element's attributes, unescaped.
    fn attributes(element: &BytesStart) -> Vec<(String, String)> {
        let pair = |attribute: quick_xml::events::attributes::Attribute| {
            let key = attribute.key.as_ref().to_owned();
            let value = attribute.value.into_owned();
            (key, quick_xml::escape::unescape(&value).unwrap().into_owned())
        };
        element.attributes().map(|attribute| pair(attribute.unwrap())).collect()
    }

    /// An element: its depth, its name and its attributes.
    type Element = (usize, String, Vec<(String, String)>);

    /// The elements in order.
    fn elements(text: &str) -> Vec<Element> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let (mut depth, mut found) = (0, Vec::new());
        loop {
            let event = reader.read_event().unwrap_or_else(|error| panic!("{error} in:\n{text}"));
            let name = |element: &BytesStart| element.name().as_ref().to_owned();
            match event {
                Event::Start(element) => {
                    found.push((depth, name(&element), attributes(&element)));
                    depth += 1;
                }
                Event::Empty(element) => found.push((depth, name(&element), attributes(&element))),
                Event::End(_) => depth -= 1,
                Event::Eof => return found,
                _ => {}
            }
        }
    }

    #[test]
    fn the_document_is_read_back_as_it_was_meant() {
        let found = elements(&document(&entries()).unwrap());
        let names: Vec<(usize, &str)> =
            found.iter().map(|(depth, name, _)| (*depth, name.as_str())).collect();
        let expected = [
            (0, "testsuites"),
            (1, "testsuite"),
            (2, "testcase"),
            (3, "error"),
            (1, "testsuite"),
            (2, "testcase"),
            (2, "testcase"),
            (3, "system-out"),
            (1, "testsuite"),
            (2, "testcase"),
            (3, "failure"),
        ];
        assert_eq!(names, expected);
        let value = |index: usize, key: &str| {
            let attributes: &Vec<(String, String)> = &found[index].2;
            attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let whole = ["tests", "failures", "errors"].map(|key| value(0, key).unwrap());
        assert_eq!(whole, ["4", "1", "1"]);
        assert_eq!(value(9, "name").unwrap(), "un expected");
        assert_eq!(value(10, "message").unwrap(), "outcome: nt <returned>, reactos \u{FFFD}]]>");
    }

    #[test]
    fn the_document_fits_the_schema_of_build_servers() {
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemas/junit-10.xsd");
        let ran = Command::new("xmllint")
            .args(["--noout", "--schema", schema, "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut ran) = ran else {
            writeln!(io::stderr(), "skipped: no xmllint").unwrap();
            return;
        };
        ran.stdin.take().unwrap().write_all(document(&entries()).unwrap().as_bytes()).unwrap();
        let output = ran.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
