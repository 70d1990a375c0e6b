//! What `run` prints for other programs, besides JSON lines: JUnit's XML for build servers, SARIF for
//! code hosts, and a trace for Perfetto's viewer.

pub mod junit;
pub mod perfetto;
pub mod sarif;

use crate::Verdict;

/// A case that was run, as reports list it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How messages show the case's file.
    pub shown: String,
    /// The case's name: `topic/name` in a corpus.
    pub name: String,
    /// The case's first comment: what it is about.
    pub title: String,
    /// Why the kernels differ, where the case says that they do.
    pub reason: Option<String>,
    /// The line of the first difference, and what differs: `outcome: nt ..., reactos ...`.
    pub first: Option<(u32, String)>,
    /// What came of it.
    pub verdict: Verdict,
    /// Whether it could not even be recorded.
    pub failed: bool,
}

impl Entry {
    /// The topic and the name within it; no topic for a case outside a corpus.
    pub fn parts(&self) -> (&str, &str) {
        self.name.rsplit_once('/').unwrap_or(("", &self.name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Surprise;

    /// One case of each kind, with text that is hostile to every format.
    pub(crate) fn entries() -> Vec<Entry> {
        let entry = |name: &str, verdict: Verdict| Entry {
            shown: format!("corpus/{name}.case"),
            name: name.to_owned(),
            title: "A title with <b>, & and \"quotes\".".to_owned(),
            reason: None,
            first: None,
            verdict,
            failed: false,
        };
        let surprise = Surprise {
            line: 7,
            what: "outcome: nt <returned>, reactos \u{1}]]>".to_owned(),
            more: "main NtClose handle=bad\n  nt  returned \"x\" & more\n".to_owned(),
        };
        let stopped = Surprise { line: 3, what: "it stops".to_owned(), more: String::new() };
        vec![
            entry("a/agrees", Verdict::Agrees),
            Entry {
                reason: Some("One has <no> case.".to_owned()),
                first: Some((9, "outcome: nt 1, reactos 2".to_owned())),
                ..entry("a/differs", Verdict::Differs)
            },
            entry("b/un expected", Verdict::Unexpected(surprise)),
            Entry { failed: true, ..entry("stopped", Verdict::Unexpected(stopped)) },
        ]
    }
}
