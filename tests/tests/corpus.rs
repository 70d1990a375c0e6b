//! One test for each case of the corpus, named by the case's path:
//!
//! ```text
//! cargo test -p tests --test corpus                      all of them
//! cargo test -p tests --test corpus termination/         those whose path has this in it
//! cargo insta review                                     look at goldens that no longer fit
//! ```
//!
//! A case passes when the kernels that it names agree or differ as it says, when its recordings
//! survive their file and replay to the byte, and when its golden is the comparison's text.

use golden::accepted;
use libtest_mimic::{Arguments, Failed, Trial};
use recorder::{Case, Recording, kernels};
use replayer::corpus::{self, Source};
use replayer::{Compared, Surprise, Verdict, judge};
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use tests::root;

/// Tests the corpus of the workspace.
pub fn main() {
    let mut args = Arguments::from_args();
    // Beside each other, insta's differences would be printed into each other.
    args.test_threads.get_or_insert(1);
    let sources = corpus::find(&["corpus".into()], &root()).unwrap_or_else(|error| panic!("{error}"));
    let names: BTreeSet<String> = sources.iter().map(|source| source.name.clone()).collect();
    let mut trials: Vec<Trial> =
        sources.into_iter().map(|source| Trial::test(source.name.clone(), move || check(&source))).collect();
    trials.push(Trial::test("every golden has a case", move || orphans(&names)));
    libtest_mimic::run(&args, trials).exit()
}

fn check(source: &Source) -> Result<(), Failed> {
    let case = source.read()?;
    let kernel = |name: &str| kernels::by_name(name).ok_or_else(|| format!("no kernel is named {name}"));
    let (left, right) = (kernel(&case.kernels.0)?, kernel(&case.kernels.1)?);
    let compared = replayer::compare(&case, left, right)?;
    if let Verdict::Unexpected(surprise) = judge(&case, &compared.comparison, None) {
        return Err(told(source, &surprise));
    }
    for (recording, kernel) in [(&compared.left, left), (&compared.right, right)] {
        survives(recording)?;
        if let Some(deviation) = replayer::verify(recording, kernel)? {
            return Err(format!("replayed on {}: {deviation}", kernel.name()).into());
        }
    }
    fits(source, &case, &compared)
}

/// A recording's file holds the recording, and writing it again gives the same bytes.
fn survives(recording: &Recording) -> Result<(), Failed> {
    let bytes = recording.to_bytes();
    let loaded = Recording::from_bytes(&bytes)?;
    if loaded.torn.is_some() || loaded.recording != *recording || loaded.recording.to_bytes() != bytes {
        return Err(format!("{}: the recording does not survive its file", recording.header.kernel).into());
    }
    Ok(())
}

/// The golden is the comparison's text; insta keeps it, and keeps what should become of it.
fn fits(source: &Source, case: &Case, compared: &Compared) -> Result<(), Failed> {
    let (folder, stem) =
        source.name.rsplit_once('/').ok_or("a case of the corpus lies in a topic's folder")?;
    let goldens = root().join("golden");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(goldens.join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_input_file(&source.path);
    let text = compared.comparison.text();
    // What insta has to say is on the screen by the time it panics; the rest is told below.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| settings.bind(|| insta::assert_snapshot!(stem, text))));
    panic::set_hook(hook);
    if outcome.is_ok() {
        return Ok(());
    }
    match judge(case, &compared.comparison, Some(&goldens)) {
        Verdict::Unexpected(surprise) => Err(told(source, &surprise)),
        // What insta refuses is more than the text; it has said what.
        Verdict::Agrees | Verdict::Differs => Err(format!("{}: see above", source.shown).into()),
    }
}

fn told(source: &Source, surprise: &Surprise) -> Failed {
    format!("{}:{}: {}\n\n{}", source.shown, surprise.line, surprise.what, surprise.more).into()
}

fn orphans(cases: &BTreeSet<String>) -> Result<(), Failed> {
    let goldens = accepted::names(&root().join("golden"))?;
    let orphans: Vec<String> = goldens
        .into_iter()
        .filter(|name| !cases.contains(name))
        .map(|name| {
            format!("golden/{name}.snap has no case corpus/{name}.case: remove it, or put the case back")
        })
        .collect();
    if orphans.is_empty() { Ok(()) } else { Err(orphans.join("\n").into()) }
}
