//! `tandem who`: who wrote a field.

use super::{FINE, WhoOptions, case, heading, kernel, messages::Messages};
use crate::explain::{Changed, Names, fields, writes};
use anyhow::Context;
use std::path::Path;

pub(super) fn run(here: &Path, options: &WhoOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let recording = recorder::record(&case, kernel).context(shown)?;
    let (target, found) = writes(&recording, kernel, &options.target).map_err(anyhow::Error::msg)?;
    let mut text = format!("{} on {}: {}\n", case.name, kernel.name(), target.title());
    let mut last = None;
    for Changed { event, instant, thread, code, values } in &found {
        if last.replace(*event) != Some(*event) {
            let record = recording.event(*event).context("an event that was played is there")?;
            text.push_str(&format!("\n{}\n", heading(*event, record)));
        }
        let what = if code.text == "native" { String::new() } else { format!("  {}", code.text) };
        text.push_str(&format!("  +{instant:<6} {thread:12}  {}{what}\n", code.symbol));
        for (name, old, new) in values {
            // A single field has been named above.
            let name = if values.len() == 1 && target.fields.len() <= 1 { "" } else { name };
            text.push_str(&format!(
                "          {name}{}{old} -> {new}\n",
                if name.is_empty() { "" } else { " " }
            ));
        }
    }
    if found.is_empty() {
        text.push_str("nothing changed it");
        let end = recording.events.last().unwrap_or(&recording.boot);
        if let [field] = &target.fields[..] {
            let mut bytes = vec![0; target.size as usize];
            let read = end.machine.peek(target.cr3, target.at, &mut bytes).ok().map(|()| bytes);
            let names = Names::new(kernel, &end.machine, &end.named);
            text.push_str(&format!(": it is {}", fields::shown(&names, field, &read, None)));
        }
        text.push('\n');
    }
    messages.text(&text)?;
    Ok(FINE)
}
