//! `tandem new`: the skeleton of a case.

use super::{FINE, messages::Messages};
use crate::corpus;
use anyhow::{Context, bail, ensure};
use std::io::Write;
use std::path::Path;

/// What a new case says. It runs as it is, so that the first run shows what the words do.
const SKELETON: &str = "\
# A new thread runs its entry.
#
# Say above, in one sentence, what the case shows. Below it, each only if it is true:
# `covers: NT-2 reactos.md 9.1` names the rules and sections of corpus/behaviour that the case shows;
# `differs: ...` says why the kernels part, if they do and both are right;
# `kernels: reactos reactos-msvc6` compares another pair than nt and reactos.
# Each begins a line of its own after `# `, without the quotes.
#
# Then the events, one a line: `[name =] thread Verb key=value ...`; `tandem verbs` lists the verbs.

process app
thread  main in=app

main    NtYieldExecution
";

pub(super) fn run(here: &Path, name: &str, messages: &mut Messages) -> anyhow::Result<u8> {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let Some((topic, stem)) = name.split_once('/').filter(|(topic, stem)| plain(topic) && plain(stem)) else {
        bail!("{name} is no name for a case: TOPIC/NAME, of small letters, digits and _");
    };
    let Some(top) = corpus::home(here) else {
        bail!("no corpus here: run this in Tandem's folder");
    };
    let folder = top.join("corpus").join(topic);
    let path = folder.join(format!("{stem}.case"));
    let shown = corpus::show(path.strip_prefix(here).unwrap_or(&path));
    ensure!(!path.exists(), "{shown} is there already");
    std::fs::create_dir_all(&folder).with_context(|| corpus::show(&folder))?;
    let file = std::fs::File::create_new(&path);
    file.and_then(|mut file| file.write_all(SKELETON.as_bytes())).with_context(|| shown.clone())?;
    messages.text(&format!(
        "{shown} is written. Next:\n\
         \x20   $EDITOR {shown}\n\
         \x20   cargo run --release -- run {shown}\n\
         \x20   cargo test -p tests --test corpus {name}\n\
         \x20   {}\n",
        crate::judge::REVIEW,
    ))?;
    Ok(FINE)
}
