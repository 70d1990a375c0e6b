//! The values that arguments can have, and how they are written.

use super::error::Problem;
use super::names::NameKind;
use super::parse::Parser;
use super::token::{Word, nearest};
use crate::kernels;
use crate::verbs::{Choices, Kind, TIMES_MAX};
use contract::{STATUS_NAMES, Status, program};
use std::ops::Range;

/// What an argument was given, or what its default is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an optional argument that was left out.
    None,
    /// A doubleword: a number, a status, an access mask, the number of a choice.
    Number(u32),
    /// A handle.
    Handle(HandleRef),
    /// Several handles.
    Handles(Vec<HandleRef>),
    /// Yes or no.
    Bool(bool),
    /// A time.
    Time(Time),
    /// A name of the case: of a process, a thread or an object, or a new one.
    Name(String),
    /// A number that a line has bound, and what is added to it.
    Bound(String, u32),
    /// An address in the program, by its symbol (`apc`), or behind one (`data+10`).
    Symbol(String, u32),
    /// The word that was chosen, and the number it stands for.
    Choice(&'static str, u32),
    /// Pool tags, as their characters lie in memory.
    Tags(Vec<u32>),
    /// The name that some kernel has for its code.
    Routine(String),
}

/// A handle as a line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleRef {
    /// An object by its name, or a bound handle.
    Named(String),
    /// The same, and what is added to the handle's value.
    Near(String, u32),
    /// `self`: NtCurrentProcess, FFFFFFFF.
    CurrentProcess,
    /// `thread`: NtCurrentThread, FFFFFFFE.
    CurrentThread,
    /// `NULL`.
    Null,
    /// `bad`: a value that no handle table holds.
    Bad,
    /// Any other value.
    Number(u32),
}

/// A time as a line gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `none` or `forever`: no timeout.
    Endless,
    /// From now, in units of 100 ns.
    After(u64),
}

/// How many handles a list has at most; a kernel takes 64.
const HANDLES_MAX: usize = 65;

/// Columns of a line of help.
const HELP_COLUMNS: usize = 90;

/// The clock's period, in units of 100 ns: 10 ms.
pub(crate) const TICK: u64 = 100_000;
/// The most that a line advances the clock: a minute.
const ADVANCE_MAX: u64 = 6000 * TICK;

/// Parses what was written for an argument.
pub(super) fn parse(parser: &Parser, kind: &Kind, key: &str, word: &Word) -> Result<Value, Problem> {
    let text = word.text;
    let wrong = |title: String| Problem::new(word.span.clone(), title, format!("expected {}", kind.doc()));
    match kind {
        Kind::NewName => Ok(Value::Name(text.to_owned())),
        Kind::Flag => Ok(Value::Bool(true)),
        Kind::Process => name(parser, kind, word, |kind| matches!(kind, NameKind::Process)),
        Kind::Thread => name(parser, kind, word, |kind| matches!(kind, NameKind::Thread { .. })),
        Kind::Object => name(parser, kind, word, |kind| !matches!(kind, NameKind::Value)),
        Kind::Handle => handle(parser, word).map(Value::Handle),
        Kind::Handles => handles(parser, word),
        Kind::Number => number(text).map(Value::Number).ok_or_else(|| wrong(not_a_number(key, text))),
        Kind::Times => match number(text) {
            Some(times @ 1..=TIMES_MAX) => Ok(Value::Number(times)),
            _ => Err(wrong(format!("an event cannot happen `{text}` times"))),
        },
        Kind::Status => status(word, key),
        Kind::Bool => match text {
            "yes" => Ok(Value::Bool(true)),
            "no" => Ok(Value::Bool(false)),
            _ => Err(wrong(format!("`{key}` is yes or no, not `{text}`"))),
        },
        Kind::Time => time(text).map(Value::Time).ok_or_else(|| wrong(format!("`{text}` is not a time"))),
        Kind::Ticks => match time(text) {
            Some(Time::After(units)) if units > 0 && units % TICK == 0 && units <= ADVANCE_MAX => {
                Ok(Value::Time(Time::After(units)))
            }
            _ => Err(wrong(format!("the clock cannot advance by `{text}`"))),
        },
        Kind::Address => address(parser, word, kind),
        Kind::Flags(choices) => flags(choices, word),
        Kind::Choice(choices) => match choices.find(text) {
            Some((word, value)) => Ok(Value::Choice(word, value)),
            None => number(text)
                .map(Value::Number)
                .ok_or_else(|| unknown_choice(choices, text, word.span.clone())),
        },
        Kind::Word(choices) => match choices.find(text) {
            Some((word, value)) => Ok(Value::Choice(word, value)),
            None => Err(unknown_choice(choices, text, word.span.clone())),
        },
        Kind::Tags => tags(word),
        Kind::Routine => routine(word),
    }
}

fn not_a_number(key: &str, text: &str) -> String {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit() || c == '_') && text != digits
        || digits.chars().all(|c| c.is_ascii_digit())
    {
        format!("`{text}` does not fit the 32 bits of `{key}`")
    } else {
        format!("`{text}` is not a number")
    }
}

/// A number: decimal, or hexadecimal behind `0x`, with `_` between digits. 32 bits.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// A time: `0`, `none`, `forever`, or a number and its unit.
fn time(text: &str) -> Option<Time> {
    if ["none", "forever"].contains(&text) {
        return Some(Time::Endless);
    }
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let value = u64::from(number(&text[..unit])?);
    let scale = match &text[unit..] {
        "us" => 10,
        "ms" => 10_000,
        "s" => 10_000_000,
        "" if value == 0 => 0,
        _ => return None,
    };
    Some(Time::After(value * scale))
}

fn name(
    parser: &Parser,
    kind: &Kind,
    word: &Word,
    fits: impl Fn(&NameKind) -> bool,
) -> Result<Value, Problem> {
    let known = || parser.names.iter().filter(|(_, (kind, _))| fits(kind)).map(|(name, _)| name.as_str());
    match parser.names.get(word.text) {
        Some((found, _)) if fits(found) => Ok(Value::Name(word.text.to_owned())),
        Some((found, created)) => {
            let title = format!("`{}` is {}", word.text, found.describe());
            let problem = Problem::new(word.span.clone(), title, format!("expected {}", kind.doc()));
            Err(parser.pointing(problem, created, "created here"))
        }
        None => Err(parser.unknown(word, format!("nothing is named `{}`", word.text), known())),
    }
}

fn handle(parser: &Parser, word: &Word) -> Result<HandleRef, Problem> {
    Ok(match word.text {
        "self" => HandleRef::CurrentProcess,
        "thread" => HandleRef::CurrentThread,
        "NULL" => HandleRef::Null,
        "bad" => HandleRef::Bad,
        text if text.starts_with(|c: char| c.is_ascii_digit()) => {
            HandleRef::Number(number(text).ok_or_else(|| {
                let title = not_a_number("handle", text);
                Problem::new(word.span.clone(), title, "expected a handle's value")
            })?)
        }
        "init" => {
            let title = "there is no handle to `init`, which sets the scene";
            return Err(Problem::new(word.span.clone(), title, "expected another handle"));
        }
        text => match parser.names.get(text) {
            Some((NameKind::Value, created)) => {
                let title = format!("`{text}` is a number, not a handle");
                return Err(Problem::new(word.span.clone(), title, "expected a handle")
                    .other(created.clone(), "bound here"));
            }
            Some(_) => HandleRef::Named(text.to_owned()),
            None => {
                if let Some((name, offset)) = text.split_once('+')
                    && let Some(offset) = number(offset)
                    && let HandleRef::Named(name) = handle(
                        parser,
                        &Word { text: name, span: word.span.start..word.span.start + name.len() },
                    )?
                {
                    return Ok(HandleRef::Near(name, offset));
                }
                let names = parser.names.keys().map(String::as_str).filter(|name| *name != "init");
                let known = names.chain(["self", "thread", "NULL", "bad"]);
                return Err(parser.unknown(word, format!("nothing is named `{text}`"), known));
            }
        },
    })
}

fn handles(parser: &Parser, word: &Word) -> Result<Value, Problem> {
    let mut found = Vec::new();
    for part in parts(word, ',') {
        found.push(handle(parser, &part)?);
    }
    if found.len() > HANDLES_MAX {
        let title = format!("a list has at most {HANDLES_MAX} handles");
        return Err(Problem::new(word.span.clone(), title, format!("{} handles", found.len())));
    }
    Ok(Value::Handles(found))
}

/// The parts of a word, each with its place.
fn parts<'w>(word: &Word<'w>, separator: char) -> impl Iterator<Item = Word<'w>> {
    let mut at = word.span.start;
    word.text.split(separator).map(move |text| {
        let span = at..at + text.len();
        at = span.end + separator.len_utf8();
        Word { text, span }
    })
}

fn status(word: &Word, key: &str) -> Result<Value, Problem> {
    if let Some(Status(value)) = Status::named(word.text) {
        return Ok(Value::Number(value));
    }
    if let Some(value) = number(word.text) {
        return Ok(Value::Number(value));
    }
    let (title, label) = if word.text.starts_with(|c: char| c.is_ascii_digit()) {
        (not_a_number(key, word.text), "expected a status".to_owned())
    } else {
        let label = match nearest(word.text, STATUS_NAMES.iter().map(|(name, _)| *name)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "not known; its number will do".to_owned(),
        };
        (format!("there is no status `{}`", word.text), label)
    };
    Err(Problem::new(word.span.clone(), title, label))
}

fn address(parser: &Parser, word: &Word, kind: &Kind) -> Result<Value, Problem> {
    const PLACES: [&str; 4] = [program::ENTRY, program::PARK, program::APC, "data"];
    let (place, offset) = match word.text.split_once('+') {
        Some((place, offset)) => (place, number(offset)),
        None => (word.text, Some(0)),
    };
    if let (Some(place), Some(offset)) = (PLACES.iter().find(|known| **known == place), offset) {
        return Ok(Value::Symbol((*place).to_owned(), offset));
    }
    if word.text == "NULL" {
        return Ok(Value::Number(0));
    }
    if let Some(value) = number(word.text) {
        return Ok(Value::Number(value));
    }
    if let Some((found, created)) = parser.names.get(place) {
        if *found == NameKind::Value {
            let offset = offset.ok_or_else(|| {
                let behind = &word.text[place.len() + 1..];
                Problem::new(
                    word.span.clone(),
                    not_a_number("an address", behind),
                    "expected a number behind +",
                )
            })?;
            return Ok(Value::Bound(place.to_owned(), offset));
        }
        let title = format!("`{place}` is {}, not an address", found.describe());
        let problem = Problem::new(word.span.clone(), title, format!("expected {}", kind.doc()));
        return Err(parser.pointing(problem, created, "created here"));
    }
    if word.text.starts_with(|c: char| c.is_ascii_digit()) {
        let title = not_a_number("an address", word.text);
        return Err(Problem::new(word.span.clone(), title, format!("expected {}", kind.doc())));
    }
    let values =
        parser.names.iter().filter(|(_, (kind, _))| *kind == NameKind::Value).map(|(name, _)| name.as_str());
    Err(parser.unknown(
        word,
        format!("there is no address `{}`", word.text),
        PLACES.into_iter().chain(values),
    ))
}

fn flags(choices: &'static Choices, word: &Word) -> Result<Value, Problem> {
    let mut value = 0;
    for part in parts(word, '|') {
        let found = choices.find(part.text).map(|(_, value)| value).or_else(|| number(part.text));
        value |= found.ok_or_else(|| unknown_choice(choices, part.text, part.span))?;
    }
    Ok(Value::Number(value))
}

fn unknown_choice(choices: &'static Choices, text: &str, span: Range<usize>) -> Problem {
    let label = match nearest(text, choices.words.iter().map(|(word, _)| *word)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "not known".to_owned(),
    };
    Problem::new(span, format!("there is no {} `{text}`", choices.what), label)
        .help(wrapped(&format!("there is {}", choices.list())))
}

/// A text in lines of at most [`HELP_COLUMNS`], as far as its words allow.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() > HELP_COLUMNS {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines
}

/// Which kernels a case runs on is not known here: a name of any kernel will do.
fn routine(word: &Word) -> Result<Value, Problem> {
    let images =
        || kernels::names().iter().filter_map(|name| kernels::by_name(name)).map(|kernel| kernel.image());
    if images().any(|image| image.address(word.text).is_some()) {
        return Ok(Value::Routine(word.text.to_owned()));
    }
    let label = match nearest(word.text, images().flat_map(|image| image.names())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "not known".to_owned(),
    };
    let title = format!("no kernel has a routine `{}`", word.text);
    Err(Problem::new(word.span.clone(), title, label)
        .help("`tandem trace` shows the routines that a case runs through"))
}

fn tags(word: &Word) -> Result<Value, Problem> {
    let mut found = Vec::new();
    for part in parts(word, ',') {
        if part.text == "any" {
            found.push(0);
            continue;
        }
        let bytes = part.text.as_bytes();
        if bytes.is_empty() || bytes.len() > 4 || !part.text.chars().all(|c| c.is_ascii_graphic()) {
            let title = format!("`{}` is not a pool tag", part.text);
            return Err(Problem::new(part.span, title, "expected one to four characters"));
        }
        let mut raw = [b' '; 4];
        raw[..bytes.len()].copy_from_slice(bytes);
        found.push(u32::from_le_bytes(raw));
    }
    let most = contract::PoolFault::SLOTS as usize;
    if found.len() > most {
        let title = format!("at most {most} tags can fail at a time");
        return Err(Problem::new(word.span.clone(), title, format!("{} tags", found.len())));
    }
    Ok(Value::Tags(found))
}
