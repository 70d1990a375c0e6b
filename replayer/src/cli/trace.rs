//! `tandem trace`: what a kernel called.

use super::{FINE, TraceOptions, case, has_event, heading, kernel, messages::Messages};
use crate::explain::{Interrupts, Names, rows, told_calls};
use anyhow::Context;
use std::path::Path;

pub(super) fn run(here: &Path, options: &TraceOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let last = case.lines.len();
    let events = match options.event {
        Some(event) => event..=event,
        None => 1..=last,
    };
    has_event(&case, *events.start())?;
    let recording = recorder::record(&case, kernel).context(shown)?;
    let interrupts = match options.interrupts {
        true => Interrupts::default(),
        false => Interrupts::of(&recording, kernel, events.clone()),
    };
    let mut text = String::new();
    for number in events {
        let Some(event) = recording.event(number) else { break };
        let start =
            number.checked_sub(1).and_then(|before| recording.event(before)).map_or(0, |before| before.end());
        text.push_str(&format!("{}\n", heading(number, event)));
        let names = Names::new(kernel, &event.machine, &event.named);
        let (names, calls) = told_calls(&recording, kernel, number, names);
        for row in rows(&names, &calls, &interrupts) {
            if row.thread.is_some() {
                text.push_str(&format!("          {}\n", row.text));
                continue;
            }
            let call = row.call.and_then(|index| calls.get(index));
            let instant = match call {
                Some(call) if !call.earlier => format!("+{}", call.at.saturating_sub(start)),
                _ => String::new(),
            };
            let depth = 2 * row.depth.min(16);
            let times = if row.times > 1 { format!("  ×{}", row.times) } else { String::new() };
            text.push_str(&format!("  {instant:7} {:depth$}{}{times}\n", "", row.text));
        }
        if event.untraced > 0 {
            text.push_str(&format!("  … and {} more that the trace does not hold\n", event.untraced));
        }
        text.push_str(&format!("  {}\n", event.outcome));
    }
    messages.text(&text)?;
    Ok(FINE)
}
