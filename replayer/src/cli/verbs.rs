//! `tandem verbs`: every verb with its arguments, and the kernels that have it.

use super::{FINE, messages::Messages};
use contract::Kernel;
use recorder::kernels;
use recorder::verbs::{Argument, Binds, By, Default, Kind, Verb, table};

pub(super) fn run(messages: &mut Messages) -> anyhow::Result<u8> {
    let known: Vec<&dyn Kernel> =
        kernels::names().iter().filter_map(|name| kernels::by_name(name)).map(|kernel| kernel as _).collect();
    let text: Vec<String> = table().map(|verb| describe(verb, &known)).collect();
    messages.text(&text.join("\n"))?;
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
        let kind = argument.kind.doc();
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
