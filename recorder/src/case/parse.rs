//! From text to a case.

use super::error::Problem;
use super::header::{Header, Last};
use super::names::{NameKind, predefined};
use super::token::{self, Word};
use super::value::{HandleRef, Value};
use super::{Case, CaseError, Event, Line, digest};
use crate::verbs::{self, By, Deed, How, Verb};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes that a case has at most.
const TEXT_MAX: usize = 64 * 1024;
/// Characters that a line has at most, its comment not counted.
const LINE_MAX: usize = 1000;
/// Events that a case has at most.
const EVENTS_MAX: usize = 200;
/// The first words of world lines that have two.
const PREFIXES: [&str; 3] = ["pool", "driver", "look"];

pub(super) fn parse(path: &str, name: &str, text: &str) -> Result<Case, CaseError> {
    let problem = |problem: Problem| problem.of(path, text);
    if text.len() > TEXT_MAX {
        let title = format!("a case has at most {TEXT_MAX} bytes, and this has {}", text.len());
        let excerpt = text.char_indices().nth(200).map_or(text, |(end, _)| &text[..end]);
        return Err(Problem::new(0..0, title, "is this a case?").of(path, excerpt));
    }
    let mut header = Header::default();
    let mut last = Last::default();
    let mut parser = Parser::new(text);
    let mut lines = Vec::new();
    for (number, start, line) in token::lines(text) {
        let code = token::code(line);
        let words = token::words(code, start);
        if words.is_empty() {
            if lines.is_empty() && code.len() < line.len() {
                header.line(line, start, &mut last).map_err(problem)?;
            } else {
                last = Last::Nothing;
            }
            continue;
        }
        if header.title.is_none() {
            return Err(problem(untitled(words[0].span.clone())));
        }
        let event = parser.line(&words, code).map_err(problem)?;
        if let Some(Line { event: before, .. }) = lines.last() {
            repeatable(before, &event, &words[0]).map_err(problem)?;
        }
        let source: Vec<&str> = words.iter().map(|word| word.text).collect();
        lines.push(Line { number, text: source.join(" "), event });
        if lines.len() > EVENTS_MAX {
            let title = format!("a case has at most {EVENTS_MAX} events");
            return Err(problem(Problem::new(words[0].span.clone(), title, "one too many")));
        }
    }
    let Some((title, span)) = header.title else {
        return Err(problem(untitled(0..0)));
    };
    if !title.ends_with(['.', '?', '!']) {
        let help = "the first comment is a full sentence about behaviour";
        let end = span.end;
        return Err(problem(
            Problem::new(span.end..end, "the title is not a sentence", "no full stop").help(help),
        ));
    }
    if lines.is_empty() {
        let help = "`tandem new TOPIC/NAME` writes one to start from";
        return Err(problem(Problem::new(span, "the case has no events", "nothing follows").help(help)));
    }
    let kernels = header.kernels.unwrap_or_else(|| ("nt".to_owned(), "reactos".to_owned()));
    Ok(Case {
        name: name.to_owned(),
        title,
        differs: header.differs,
        covers: header.covers,
        kernels,
        lines,
        text: text.to_owned(),
        digest: digest(text.as_bytes()),
        names: parser.names.into_iter().map(|(name, (kind, _))| (name, kind)).collect(),
    })
}

/// What `repeat` stands before is the line of a thread.
fn repeatable(before: &Event, event: &Event, word: &Word) -> Result<(), Problem> {
    let repeated = matches!(before.verb.how, How::Recorder(Deed::Repeat));
    if repeated && event.verb.by == By::World {
        let title = format!("`{}` cannot be repeated", event.verb.name);
        return Err(Problem::new(word.span.clone(), title, "expected a thread that acts, or a driver"));
    }
    Ok(())
}

fn untitled(at: Range<usize>) -> Problem {
    Problem::new(at, "the case has no title", "expected a comment first")
        .help("a case starts with a sentence about behaviour: `# A NULL process handle ends …`")
}

/// Who does what, and the words that are left.
struct Said<'w, 'l> {
    actor: Option<String>,
    verb: &'static Verb,
    /// Where the verb stands.
    span: Range<usize>,
    rest: &'w [Word<'l>],
}

/// What is known at a line.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    /// What each name stands for, and where it was created.
    pub(super) names: BTreeMap<String, (NameKind, Range<usize>)>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Parser<'t> {
        let names = predefined().map(|(name, kind)| (name.to_owned(), (kind, 0..0))).collect();
        Parser { text, names }
    }

    fn line(&mut self, words: &[Word], code: &str) -> Result<Event, Problem> {
        if code.chars().count() > LINE_MAX {
            let title = format!("a line has at most {LINE_MAX} characters");
            return Err(Problem::new(words[0].span.clone(), title, "too long"));
        }
        let (result, words) = self.result(words)?;
        let Said { actor, verb, span, rest } = self.verb(words)?;
        let given = self.given(verb, &span, rest)?;
        let values = self.values(verb, &span, given)?;
        let mut event = Event { result: result.map(|word| word.text.to_owned()), actor, verb, values };
        if verb.by == By::Driver
            && let Value::Name(thread) = event.value("thread")
        {
            event.actor = Some(thread.clone());
        }
        self.own_process(&event, rest)?;
        if let Some(word) = result {
            self.bind(word, &event, &span)?;
        }
        Ok(event)
    }

    /// `name =` in front.
    fn result<'w, 'l>(
        &self,
        words: &'w [Word<'l>],
    ) -> Result<(Option<&'w Word<'l>>, &'w [Word<'l>]), Problem> {
        match words {
            [name, equals, rest @ ..] if equals.text == "=" => {
                if rest.is_empty() {
                    return Err(Problem::new(
                        equals.span.clone(),
                        "nothing follows `=`",
                        "expected an event",
                    ));
                }
                self.new_name(name)?;
                Ok((Some(name), rest))
            }
            [word, ..] if word.text.contains('=') => {
                let title = format!("a line does not start with `{}`", word.text);
                Err(Problem::new(word.span.clone(), title, "expected a thread, or a world line's verb")
                    .help("a result is bound with spaces around the sign: `h = main NtOpenProcess …`"))
            }
            _ => Ok((None, words)),
        }
    }

    /// The actor and the verb, or the world line's verb.
    fn verb<'w, 'l>(&self, words: &'w [Word<'l>]) -> Result<Said<'w, 'l>, Problem> {
        let first = &words[0];
        if PREFIXES.contains(&first.text) {
            let Some(second) = words.get(1) else {
                return Err(Problem::new(
                    first.span.clone(),
                    format!("`{}` alone says nothing", first.text),
                    "what?",
                )
                .help(format!("there is {}", listed(with_prefix(first.text).map(|verb| verb.name)))));
            };
            let name = format!("{} {}", first.text, second.text);
            let span = first.span.start..second.span.end;
            return match verbs::find(&name) {
                Some(verb) => Ok(Said { actor: None, verb, span, rest: &words[2..] }),
                None => Err(self.unknown_verb(
                    second,
                    with_prefix(first.text).map(|verb| &verb.name[first.text.len() + 1..]),
                )),
            };
        }
        if let Some(verb) = verbs::table().find(|verb| verb.by != By::Thread && verb.name == first.text) {
            return Ok(Said { actor: None, verb, span: first.span.clone(), rest: &words[1..] });
        }
        let Some((kind, created)) = self.names.get(first.text) else {
            return Err(self.unknown_actor(first));
        };
        if !matches!(kind, NameKind::Thread { .. }) || first.text == "SystemThread" {
            let what = if first.text == "SystemThread" { "a thread of the system" } else { kind.describe() };
            let problem = Problem::new(
                first.span.clone(),
                format!("`{}` is {what}, and cannot act", first.text),
                "expected a thread of the case, or `init`",
            );
            return Err(self.pointing(problem, created, "created here"));
        }
        let Some(second) = words.get(1) else {
            return Err(Problem::new(
                first.span.clone(),
                format!("`{}` does nothing", first.text),
                "expected a verb behind it",
            ));
        };
        let callable = || verbs::table().filter(|verb| verb.by == By::Thread).map(|verb| verb.name);
        match verbs::find(second.text).filter(|verb| verb.by == By::Thread) {
            Some(verb) => Ok(Said {
                actor: Some(first.text.to_owned()),
                verb,
                span: second.span.clone(),
                rest: &words[2..],
            }),
            None => Err(self.unknown_verb(second, callable())),
        }
    }

    /// A handle that a line has bound means nothing in another process.
    fn own_process(&self, event: &Event, words: &[Word]) -> Result<(), Problem> {
        let Some(Some(NameKind::Thread { process })) =
            event.actor.as_ref().map(|actor| self.names.get(actor).map(|(kind, _)| kind))
        else {
            return Ok(());
        };
        let handles = event.values.iter().flat_map(|value| match value {
            Value::Handle(handle) => std::slice::from_ref(handle),
            Value::Handles(handles) => handles,
            _ => &[],
        });
        for handle in handles {
            let (HandleRef::Named(name) | HandleRef::Near(name, _)) = handle else { continue };
            let Some((NameKind::Handle { process: owner }, created)) = self.names.get(name) else { continue };
            // The source of a duplication is a handle of the source process.
            if owner != process && event.verb.name != "NtDuplicateObject" {
                let word = words.iter().find(|word| word.text.ends_with(name.as_str()));
                let span = word.map_or(0..0, |word| word.span.clone());
                let title = format!("`{name}` is a handle of the process `{owner}`");
                let actor = event.actor.as_deref().unwrap_or_default();
                let label = format!("`{actor}` runs in `{process}`");
                return Err(Problem::new(span, title, label).other(created.clone(), "bound here"));
            }
        }
        Ok(())
    }
}

fn with_prefix(prefix: &str) -> impl Iterator<Item = &'static Verb> {
    verbs::table().filter(move |verb| verb.name.split(' ').next() == Some(prefix) && verb.name.contains(' '))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
