//! `tandem minimize`: a smaller script that shows the same.

use super::{FINE, MinimizeOptions, case, kernel, messages::Messages};
use crate::corpus::show;
use crate::minimize;
use crate::words::counted;
use anyhow::{Context, ensure};
use std::path::Path;

pub(super) fn run(here: &Path, options: &MinimizeOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.script)?;
    let name = |given: &Option<String>, own: &str| given.clone().unwrap_or_else(|| own.to_owned());
    let left = kernel(&name(&options.left, &case.kernels.0))?;
    let right = kernel(&name(&options.right, &case.kernels.1))?;
    if let Some(output) = &options.output {
        ensure!(!here.join(output).exists(), "{} is there already", show(output));
    }
    let found = minimize(&case, left, right, options.same).context(shown.clone())?;
    let left_over = case.lines.len() - found.removed.len();
    let mut note = format!(
        "{shown}: {} to {left_over}, {} tried\n",
        counted(case.lines.len(), "event"),
        counted(found.tries, "script")
    );
    for (title, lines) in [
        ("removed", found.removed.iter().map(|(number, text)| format!("{number:4}  {text}")).collect()),
        (
            "simplified",
            found
                .simplified
                .iter()
                .map(|(number, old, new)| format!("{number:4}  {old}\n      {new}"))
                .collect::<Vec<_>>(),
        ),
    ] {
        if !lines.is_empty() {
            note.push_str(&format!("{title}\n  {}\n", lines.join("\n  ")));
        }
    }
    match &options.output {
        Some(output) => {
            std::fs::write(here.join(output), &found.text).with_context(|| show(output))?;
            messages.text(&note)?;
        }
        None => {
            messages.note(&note)?;
            messages.text(&found.text)?;
        }
    }
    Ok(FINE)
}
