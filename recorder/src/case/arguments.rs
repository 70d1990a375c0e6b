//! From the words of a line to the values of its verb's arguments.

use super::error::Problem;
use super::names::NameKind;
use super::parse::Parser;
use super::token::{Word, nearest};
use super::value::{self, Value};
use crate::verbs::{Argument, Default, Kind, Verb};
use std::ops::Range;

/// A word that was given for an argument.
pub(super) struct Given<'w> {
    /// The value, without the key.
    value: Word<'w>,
    /// Where the whole word stands.
    span: Range<usize>,
}

impl Parser<'_> {
    /// Pairs the words of a line with the verb's arguments.
    pub(super) fn given<'w>(
        &self,
        verb: &'static Verb,
        verb_span: &Range<usize>,
        words: &'w [Word],
    ) -> Result<Vec<Option<Given<'w>>>, Problem> {
        let mut given: Vec<Option<Given>> = verb.args.iter().map(|_| None).collect();
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
                        let free = |(argument, slot): (&Argument, &Option<_>)| {
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
            if let Some(first) = &given[index] {
                let title = format!("`{}` is given twice", verb.args[index].key);
                return Err(Problem::new(word.span.clone(), title, "the second time")
                    .other(first.span.clone(), "the first time"));
            }
            given[index] = Some(Given { value, span: word.span.clone() });
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

    pub(super) fn values(
        &mut self,
        verb: &'static Verb,
        verb_span: &Range<usize>,
        given: Vec<Option<Given>>,
    ) -> Result<Vec<Value>, Problem> {
        let mut values = Vec::with_capacity(given.len());
        let mut created = None;
        for (argument, slot) in verb.args.iter().zip(given) {
            let value = match (slot, argument.default) {
                (Some(Given { value: word, .. }), _) => {
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
        Ok(values)
    }
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
