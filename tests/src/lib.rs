//! What the tests of the whole system need in common: where things lie, and the program.

pub mod script;

use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The top of the workspace: of the one that cargo says the tests run for, which may be a copy of that in
/// which they were built.
pub fn root() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folder = now.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    folder.parent().expect("the crate lies in the workspace").to_owned()
}

/// A file's text.
///
/// # Panics
/// When it cannot be read: the tests need it.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder that have this extension, sorted.
///
/// # Panics
/// When a folder cannot be listed: a smaller list would be a smaller test.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    entries
        .map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).into_path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// What the program said and ended with.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: u8,
    /// Its standard output.
    pub out: String,
    /// Its error stream.
    pub err: String,
}

/// Runs the program `tandem` in a folder, with these arguments.
///
/// # Panics
/// When it writes something that is not UTF-8.
pub fn tandem(here: &Path, args: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("tandem").chain(args.iter().copied());
    let status = replayer::cli::main_with(here, args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { status, out: text(out), err: text(err) }
}
