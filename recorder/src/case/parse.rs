//! From text to a case.

use super::error::Problem;
use super::header::{Header, Last};
use super::names::{NameKind, predefined};
use super::token::{self, Word, nearest};
use super::value::{HandleRef, Value};
use super::{Case, CaseError, Event, Line, digest, value};
use crate::verbs::{self, Binds, By, Default, Kind, Verb};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes that a case has at most.
const TEXT_MAX: usize = 64 * 1024;
/// Characters that a line has at most, its comment not counted.
const LINE_MAX: usize = 1000;
/// Events that a case has at most.
const EVENTS_MAX: usize = 200;
/// Characters that a name has at most.
const NAME_MAX: usize = 32;

/// Words that cannot name anything, because they mean something where a name could stand.
const RESERVED: [&str; 16] = [
    "self",
    "thread",
    "process",
    "bad",
    "none",
    "forever",
    "any",
    "clock",
    "interrupt",
    "pool",
    "driver",
    "look",
    "run",
    "init",
    "yes",
    "no",
];
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

fn untitled(at: Range<usize>) -> Problem {
    Problem::new(at, "the case has no title", "expected a comment first")
        .help("a case starts with a sentence about behaviour: `# A NULL process handle ends …`")
}

/// What is known at a line.
pub(super) struct Parser<'t> {
    text: &'t str,
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
        let (actor, verb, verb_span, words) = self.verb(words)?;
        let given = self.given(verb, &verb_span, words)?;
        let values = self.values(verb, &verb_span, given, actor.map(|actor| actor.text))?;
        let mut event = Event {
            result: result.map(|word| word.text.to_owned()),
            actor: actor.map(|word| word.text.to_owned()),
            verb,
            values,
        };
        if verb.by == By::Driver
            && let Value::Name(thread) = event.value("thread")
        {
            event.actor = Some(thread.clone());
        }
        self.own_process(&event, words)?;
        if let Some(word) = result {
            self.bind(word, &event, &verb_span)?;
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
    fn verb<'w, 'l>(
        &self,
        words: &'w [Word<'l>],
    ) -> Result<(Option<&'w Word<'l>>, &'static Verb, Range<usize>, &'w [Word<'l>]), Problem> {
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
                Some(verb) => Ok((None, verb, span, &words[2..])),
                None => Err(self.unknown_verb(
                    second,
                    with_prefix(first.text).map(|verb| &verb.name[first.text.len() + 1..]),
                )),
            };
        }
        if let Some(verb) = verbs::table().find(|verb| verb.by != By::Thread && verb.name == first.text) {
            return Ok((None, verb, first.span.clone(), &words[1..]));
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
            Some(verb) => Ok((Some(first), verb, second.span.clone(), &words[2..])),
            None => Err(self.unknown_verb(second, callable())),
        }
    }

    fn unknown_actor(&self, word: &Word) -> Problem {
        let title = format!("nothing is named `{}`", word.text);
        let threads = self.names.iter().filter(|(_, (kind, _))| matches!(kind, NameKind::Thread { .. }));
        let worlds = verbs::table()
            .filter(|verb| verb.by != By::Thread)
            .filter_map(|verb| verb.name.split(' ').next());
        let known =
            threads.map(|(name, _)| name.as_str()).filter(|name| *name != "SystemThread").chain(worlds);
        self.unknown(word, title, known)
    }

    fn unknown_verb<'c>(&self, word: &Word, known: impl Iterator<Item = &'c str>) -> Problem {
        let problem = match nearest(word.text, known) {
            Some(meant) => Problem::new(
                word.span.clone(),
                format!("there is no verb `{}`", word.text),
                format!("did you mean `{meant}`?"),
            ),
            None => Problem::new(word.span.clone(), format!("there is no verb `{}`", word.text), "not known"),
        };
        problem.help("`tandem verbs` lists every verb with its arguments")
    }

    /// A name that is not known here: perhaps created later, perhaps misspelt.
    pub(super) fn unknown<'c>(
        &self,
        word: &Word,
        title: String,
        known: impl Iterator<Item = &'c str>,
    ) -> Problem {
        if let Some(later) = self.created_later(word) {
            return Problem::new(word.span.clone(), title, "not created before this line")
                .other(later, "created only here");
        }
        match nearest(word.text, known) {
            Some(meant) => {
                let problem = Problem::new(word.span.clone(), title, format!("did you mean `{meant}`?"));
                match self.names.get(meant) {
                    Some((_, created)) => {
                        self.pointing(problem, created, format!("`{meant}` is created here"))
                    }
                    None => problem,
                }
            }
            None => Problem::new(word.span.clone(), title, "not created before this line"),
        }
    }

    /// Where a later line creates the name.
    fn created_later(&self, word: &Word) -> Option<Range<usize>> {
        token::lines(self.text).filter(|(_, start, _)| *start > word.span.start).find_map(
            |(_, start, line)| match token::words(token::code(line), start).as_slice() {
                [verb, name, ..] if ["process", "thread"].contains(&verb.text) && name.text == word.text => {
                    Some(name.span.clone())
                }
                [name, equals, ..] if equals.text == "=" && name.text == word.text => Some(name.span.clone()),
                _ => None,
            },
        )
    }

    pub(super) fn pointing(
        &self,
        problem: Problem,
        created: &Range<usize>,
        label: impl Into<String>,
    ) -> Problem {
        // What every case finds in place was created nowhere in its text.
        if created.is_empty() { problem } else { problem.other(created.clone(), label) }
    }

    /// Pairs the words of a line with the verb's arguments.
    fn given<'w>(
        &self,
        verb: &'static Verb,
        verb_span: &Range<usize>,
        words: &'w [Word],
    ) -> Result<Vec<Option<(Word<'w>, Range<usize>)>>, Problem> {
        let mut given: Vec<Option<(Word, Range<usize>)>> = verb.args.iter().map(|_| None).collect();
        for word in words {
            let (index, value) = match word.text.split_once('=') {
                Some((key, value)) => {
                    let index = verb.args.iter().position(|argument| {
                        argument.key == key && !matches!(argument.kind, Kind::NewName | Kind::Flag)
                    });
                    let key_span = word.span.start..word.span.start + key.len();
                    let index = index.ok_or_else(|| unknown_argument(verb, key, key_span))?;
                    if value.is_empty() {
                        let title = format!("`{key}=` has no value");
                        let label = format!("expected {}", verb.args[index].kind.doc());
                        return Err(Problem::new(word.span.clone(), title, label));
                    }
                    let at = word.span.start + key.len() + 1;
                    (index, Word { text: value, span: at..word.span.end })
                }
                None => {
                    let flag = verb.args.iter().position(|argument| {
                        matches!(argument.kind, Kind::Flag) && argument.key == word.text
                    });
                    let free = || {
                        let free = |(argument, slot): (&verbs::Argument, &Option<_>)| {
                            matches!(argument.kind, Kind::NewName) && slot.is_none()
                        };
                        verb.args.iter().zip(&given).position(free)
                    };
                    let index = flag
                        .or_else(free)
                        .ok_or_else(|| unknown_argument(verb, word.text, word.span.clone()))?;
                    (index, word.clone())
                }
            };
            if let Some((first, _)) = &given[index] {
                let title = format!("`{}` is given twice", verb.args[index].key);
                return Err(Problem::new(word.span.clone(), title, "the second time")
                    .other(first.span.clone(), "the first time"));
            }
            given[index] = Some((value, word.span.clone()));
        }
        if let Some(index) = verb
            .args
            .iter()
            .zip(&given)
            .position(|(argument, slot)| argument.default == Default::Required && slot.is_none())
        {
            let argument = &verb.args[index];
            let (title, label) = match argument.kind {
                Kind::NewName => (format!("`{}` needs a name", verb.name), "what is it called?".to_owned()),
                _ => (
                    format!("`{}` needs `{}=`", verb.name, argument.key),
                    format!("{}: {}", argument.doc, argument.kind.doc()),
                ),
            };
            return Err(Problem::new(verb_span.clone(), title, label));
        }
        Ok(given)
    }

    fn values(
        &mut self,
        verb: &'static Verb,
        verb_span: &Range<usize>,
        given: Vec<Option<(Word, Range<usize>)>>,
        actor: Option<&str>,
    ) -> Result<Vec<Value>, Problem> {
        let mut values = Vec::with_capacity(given.len());
        let mut created = None;
        for (argument, slot) in verb.args.iter().zip(given) {
            let value = match (slot, argument.default) {
                (Some((word, _)), _) => {
                    if matches!(argument.kind, Kind::NewName) {
                        self.new_name(&word)?;
                        created = Some(word.clone());
                    }
                    value::parse(self, &argument.kind, argument.key, &word)?
                }
                (None, Default::Is(text)) => {
                    // The table's own words; their span is never shown, because they are right.
                    value::parse(self, &argument.kind, argument.key, &Word { text, span: verb_span.clone() })?
                }
                (None, _) => Value::None,
            };
            values.push(value);
        }
        if let Some(word) = created {
            let kind = match verb
                .args
                .iter()
                .position(|argument| argument.key == "in")
                .map(|index| &values[index])
            {
                Some(Value::Name(process)) => NameKind::Thread { process: process.clone() },
                _ => NameKind::Process,
            };
            self.names.insert(word.text.to_owned(), (kind, word.span));
        }
        let _ = actor;
        Ok(values)
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
            let HandleRef::Named(name) = handle else { continue };
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

    /// Whether a word can be a new name.
    fn new_name(&self, word: &Word) -> Result<(), Problem> {
        let name = word.text;
        let spelt = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !spelt || name.len() > NAME_MAX {
            let help = format!(
                "a name starts with a small letter and has at most {NAME_MAX} letters, digits, `_` and `-`"
            );
            return Err(Problem::new(word.span.clone(), format!("`{name}` cannot be a name"), "not a name")
                .help(help));
        }
        if let Some((kind, created)) = self.names.get(name).filter(|(_, created)| !created.is_empty()) {
            let title = format!("`{name}` is {} already", kind.describe());
            return Err(Problem::new(word.span.clone(), title, "choose another name")
                .other(created.clone(), "created here"));
        }
        if RESERVED.contains(&name) {
            let title = format!("`{name}` cannot be a name");
            return Err(Problem::new(word.span.clone(), title, "the word means something in a case"));
        }
        Ok(())
    }

    /// Binds the name in front of a line.
    fn bind(&mut self, word: &Word, event: &Event, verb_span: &Range<usize>) -> Result<(), Problem> {
        let own = || {
            let actor = event.actor.as_ref().and_then(|actor| self.names.get(actor));
            match actor {
                Some((NameKind::Thread { process }, _)) => process.clone(),
                _ => "init".to_owned(),
            }
        };
        let kind = match event.verb.binds {
            Binds::Nothing => {
                let title = format!("`{}` gives nothing back that could be named", event.verb.name);
                return Err(Problem::new(word.span.clone(), title, "nothing to bind")
                    .other(verb_span.clone(), "returns a status alone"));
            }
            Binds::Object(kind) => NameKind::Object { kind, process: own() },
            Binds::Value(_) => NameKind::Value,
            Binds::Handle(None) => NameKind::Handle { process: own() },
            Binds::Handle(Some(key)) => match event.value(key) {
                Value::Handle(HandleRef::Named(target))
                    if matches!(self.names.get(target), Some((NameKind::Process, _))) =>
                {
                    NameKind::Handle { process: target.clone() }
                }
                _ => NameKind::Handle { process: own() },
            },
        };
        self.names.insert(word.text.to_owned(), (kind, word.span.clone()));
        Ok(())
    }
}

fn with_prefix(prefix: &str) -> impl Iterator<Item = &'static Verb> {
    verbs::table().filter(move |verb| verb.name.split(' ').next() == Some(prefix) && verb.name.contains(' '))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn unknown_argument(verb: &'static Verb, key: &str, span: Range<usize>) -> Problem {
    let keys = || {
        verb.args
            .iter()
            .filter(|argument| !matches!(argument.kind, Kind::NewName))
            .map(|argument| argument.key)
    };
    let title = format!("`{}` has no argument `{key}`", verb.name);
    let label = match nearest(key, keys()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "not an argument".to_owned(),
    };
    let help = match keys().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => format!("`{}` takes no arguments", verb.name),
        list => format!("`{}` takes {list}", verb.name),
    };
    Problem::new(span, title, label).help(help)
}
