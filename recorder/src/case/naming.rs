//! Names: what can be one, what it stands for, and what to say of one that is not known.

use super::Event;
use super::error::Problem;
use super::names::NameKind;
use super::parse::Parser;
use super::token::{self, Word, nearest};
use super::value::{HandleRef, Value};
use crate::verbs::{self, Binds, By};
use contract::ObjectKind;
use std::ops::Range;

/// Characters that a name has at most.
const NAME_MAX: usize = 32;

/// Words that cannot name anything, because they mean something where a name could stand.
const RESERVED: [&str; 19] = [
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
    "repeat",
    "hurry",
    "stop",
    "init",
    "yes",
    "no",
];

const NOT_CREATED: &str = "not created before this line";

impl Parser<'_> {
    pub(super) fn unknown_actor(&self, word: &Word) -> Problem {
        let title = format!("nothing is named `{}`", word.text);
        let threads = self.names.iter().filter(|(_, (kind, _))| matches!(kind, NameKind::Thread { .. }));
        let worlds = verbs::table()
            .filter(|verb| verb.by != By::Thread)
            .filter_map(|verb| verb.name.split(' ').next());
        let mut worlds: Vec<&str> = worlds.collect();
        worlds.sort_unstable();
        worlds.dedup();
        let threads = threads.map(|(name, _)| name.as_str()).filter(|name| *name != "SystemThread");
        let known: Vec<&str> = threads.chain(worlds.iter().copied()).collect();
        self.meant(word, &title, known.into_iter()).unwrap_or_else(|| {
            Problem::new(word.span.clone(), title, NOT_CREATED).help(format!(
                "a line begins with a thread (`e = main NtCreateEvent` creates an event), or with one of {}",
                worlds.join(", ")
            ))
        })
    }

    pub(super) fn unknown_verb<'c>(&self, word: &Word, known: impl Iterator<Item = &'c str>) -> Problem {
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
        let meant = self.meant(word, &title, known);
        meant.unwrap_or_else(|| Problem::new(word.span.clone(), title, NOT_CREATED))
    }

    /// What may have been meant by a name that is not known here; none where nothing is near.
    fn meant<'c>(&self, word: &Word, title: &str, known: impl Iterator<Item = &'c str>) -> Option<Problem> {
        let problem = |label: String| Problem::new(word.span.clone(), title, label);
        if let Some(later) = self.created_later(word) {
            return Some(problem(NOT_CREATED.to_owned()).other(later, "created only here"));
        }
        let meant = nearest(word.text, known)?;
        let problem = problem(format!("did you mean `{meant}`?"));
        Some(match self.names.get(meant) {
            Some((_, created)) => self.pointing(problem, created, format!("`{meant}` is created here")),
            None => problem,
        })
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

    /// Whether a word can be a new name.
    pub(super) fn new_name(&self, word: &Word) -> Result<(), Problem> {
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
    pub(super) fn bind(
        &mut self,
        word: &Word,
        event: &Event,
        verb_span: &Range<usize>,
    ) -> Result<(), Problem> {
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
            Binds::Object(ObjectKind::Thread) => match event.value("process") {
                Value::Handle(HandleRef::Named(target))
                    if matches!(self.names.get(target), Some((NameKind::Process, _))) =>
                {
                    NameKind::Thread { process: target.clone() }
                }
                _ => NameKind::Thread { process: own() },
            },
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
