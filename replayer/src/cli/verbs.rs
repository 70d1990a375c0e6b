//! `tandem verbs`: every verb with its arguments, and the kernels that have it. What the arguments'
//! types are stands once, at the end.

use super::{FINE, messages::Messages};
use contract::Kernel;
use recorder::kernels;
use recorder::verbs::{Argument, Binds, By, Default, Kind, Verb, table};
use std::collections::BTreeMap;

/// The types are listed in lines of this width.
const WIDTH: usize = 100;

pub(super) fn run(messages: &mut Messages) -> anyhow::Result<u8> {
    let known: Vec<&dyn Kernel> =
        kernels::names().iter().filter_map(|name| kernels::by_name(name)).map(|kernel| kernel as _).collect();
    let text: Vec<String> = table().map(|verb| describe(verb, &known)).collect();
    messages.text(&format!("{}\n{}", text.join("\n"), types()))?;
    Ok(FINE)
}

/// A verb: how it is written, what it does, what its arguments are, who has it.
fn describe(verb: &Verb, known: &[&dyn Kernel]) -> String {
    let binds = if verb.binds == Binds::Nothing { "" } else { "[NAME =] " };
    let actor = if verb.by == By::Thread { "THREAD " } else { "" };
    let arguments: String = verb.args.iter().map(|argument| format!(" {}", usage(argument))).collect();
    let mut text = format!("{binds}{actor}{}{arguments}\n    {}\n", verb.name, verb.doc);
    let width = verb.args.iter().map(|argument| argument.key.len()).max().unwrap_or(0);
    for argument in verb.args {
        let default = match argument.default {
            Default::Required => "required".to_owned(),
            Default::Is(value) => format!("default {value}"),
            Default::Absent => "may be left out".to_owned(),
        };
        let kind = word(&argument.kind);
        text.push_str(&format!("      {:width$}  {} ({kind}; {default})\n", argument.key, argument.doc));
    }
    let having: Vec<&str> =
        known.iter().filter(|kernel| verb.on(**kernel)).map(|kernel| kernel.name()).collect();
    let kernels = if having.len() == known.len() { "every kernel".to_owned() } else { having.join(", ") };
    text.push_str(&format!("      on {}\n", if kernels.is_empty() { "no kernel" } else { &kernels }));
    text
}

/// How an argument is written.
fn usage(argument: &Argument) -> String {
    let word = match argument.kind {
        Kind::NewName => argument.key.to_uppercase(),
        Kind::Flag => argument.key.to_owned(),
        _ => format!("{}=…", argument.key),
    };
    if argument.default == Default::Required { word } else { format!("[{word}]") }
}

/// A type in a word or two.
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::NewName => "new name",
        Kind::Flag => "flag",
        Kind::Process => "process",
        Kind::Thread => "thread",
        Kind::Object => "object",
        Kind::Handle => "handle",
        Kind::Handles => "handles",
        Kind::Number => "number",
        Kind::Status => "status",
        Kind::Times => "times",
        Kind::Bool => "yes or no",
        Kind::Time => "time",
        Kind::Ticks => "duration",
        Kind::Address => "address",
        Kind::Flags(choices) | Kind::Choice(choices) | Kind::Word(choices) => choices.what,
        Kind::Tags => "tags",
        Kind::Routine => "routine",
    }
}

/// Every type that some verb has and whose name does not say it all: what can be written for it.
fn types() -> String {
    let arguments = table().flat_map(|verb| verb.args);
    let types: BTreeMap<&str, String> =
        arguments.map(|argument| (word(&argument.kind), argument.kind.doc())).collect();
    let mut text = "Types\n".to_owned();
    let plain = |word: &str, doc: &str| doc == word || doc == format!("a {word}");
    for (word, doc) in types.into_iter().filter(|(word, doc)| !plain(word, doc)) {
        let mut line = format!("    {word}:");
        for part in doc.split(' ') {
            if line.len() + 1 + part.len() > WIDTH {
                text.push_str(&line);
                text.push('\n');
                line = " ".repeat(7);
            }
            line.push(' ');
            line.push_str(part);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
