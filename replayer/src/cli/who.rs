//! `tandem who`: who wrote a field.

use super::{FINE, WhoOptions, case, kernel, messages::Messages};
use crate::explain::{Changed, writes};
use anyhow::Context;
use std::path::Path;

pub(super) fn run(here: &Path, options: &WhoOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let recording = recorder::record(&case, kernel).context(shown)?;
    let (target, found) = writes(&recording, kernel, &options.target).map_err(anyhow::Error::msg)?;
    let mut text = format!(
        "{} on {}: {}, {} byte{} at {}\n",
        case.name,
        kernel.name(),
        target.label,
        target.size,
        if target.size == 1 { "" } else { "s" },
        target.at
    );
    let mut last = 0;
    for Changed { event, instant, thread, code, values } in &found {
        if *event != last {
            last = *event;
            let record = recording.event(last).context("an event that was played is there")?;
            text.push_str(&format!("\nevent {last}, line {}: {}\n", record.line, record.text));
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
        text.push_str("nothing changed it\n");
    }
    messages.text(&text)?;
    Ok(FINE)
}
