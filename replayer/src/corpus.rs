//! Finding cases: in the corpus, or wherever a user points.

use recorder::{Case, CaseError};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// A case's file may have this many bytes; a case has about fifteen lines.
pub const LONGEST: u64 = 1 << 20;

/// A case's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// How messages show it.
    pub shown: String,
    /// The case's name: `topic/name` in a corpus, else the file's name without its extension.
    pub name: String,
    /// The folder of the corpus's goldens; none for a case outside a corpus.
    pub goldens: Option<PathBuf>,
}

/// Why a case could not be found or read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A path leads nowhere.
    #[error("nothing lies at {path}{}", nearest.as_deref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Missing {
        /// The path.
        path: String,
        /// What lies beside it under a similar name.
        nearest: Option<String>,
    },
    /// A folder has no case in it.
    #[error("no case lies below {path}: a case is a file whose name ends in .case")]
    Empty {
        /// The folder.
        path: String,
    },
    /// Nothing was named, and there is no corpus here or above.
    #[error("no corpus here: run this in Tandem's folder, or name a case or a folder of cases")]
    NoCorpus,
    /// A folder cannot be listed.
    #[error("{0}")]
    Walk(#[from] walkdir::Error),
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is no text, or too long for a case.
    #[error("{path} is no case: {why}")]
    NoText {
        /// The file.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The text is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
}

impl Source {
    /// Reads and parses the case.
    ///
    /// # Errors
    /// [`CorpusError`]: it cannot be read, is no text, or says something wrong.
    pub fn read(&self) -> Result<Case, CorpusError> {
        let failed = |cause| CorpusError::Read { path: self.shown.clone(), cause };
        let refused = |why| CorpusError::NoText { path: self.shown.clone(), why };
        let file = std::fs::File::open(&self.path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LONGEST {
            return Err(refused("it has more than a mebibyte"));
        }
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text"))?;
        Ok(Case::parse(&self.shown, &self.name, &text)?)
    }
}

/// The top of the workspace that holds a corpus: this folder or one above it.
pub fn home(from: &Path) -> Option<PathBuf> {
    let holds = |folder: &&Path| folder.join("corpus").is_dir() && folder.join("golden").is_dir();
    from.ancestors().find(holds).map(Path::to_owned)
}

/// The whole corpus that lies in this folder or above it.
///
/// # Errors
/// [`CorpusError::NoCorpus`], or what is wrong with the corpus.
pub fn whole(here: &Path) -> Result<Vec<Source>, CorpusError> {
    let corpus = top(here)?.join("corpus");
    find(&[corpus.strip_prefix(here).map(Path::to_owned).unwrap_or(corpus)], here)
}

/// The top of the workspace whose corpus is meant in this folder.
///
/// # Errors
/// [`CorpusError::NoCorpus`].
pub fn top(here: &Path) -> Result<PathBuf, CorpusError> {
    // Cargo sets the variable for the programs that it runs, from wherever it was called.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    home(here).or_else(|| home(&package?)).ok_or(CorpusError::NoCorpus)
}

/// The cases at these paths, and below those that are folders: in the paths' order, sorted below
/// each, every file once.
///
/// # Errors
/// [`CorpusError`]: a path leads nowhere, or to a folder without cases.
pub fn find(paths: &[PathBuf], here: &Path) -> Result<Vec<Source>, CorpusError> {
    let mut seen = BTreeSet::new();
    let mut sources = Vec::new();
    for path in paths {
        let place = here.join(path);
        if !place.exists() {
            return Err(CorpusError::Missing { path: show(path), nearest: nearest(&place) });
        }
        let found = if place.is_dir() { below(path, &place)? } else { vec![(path.clone(), place)] };
        for (shown, place) in found {
            let failed = |cause| CorpusError::Read { path: show(&shown), cause };
            let real = place.canonicalize().map_err(failed)?;
            if seen.insert(real.clone()) {
                sources.push(source(place, &shown, &real));
            }
        }
    }
    Ok(sources)
}

/// The cases below a folder: how each is shown, and where it lies.
fn below(shown: &Path, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, CorpusError> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "case") && path.is_file() {
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            found.push((shown.join(relative), path));
        }
    }
    if found.is_empty() {
        return Err(CorpusError::Empty { path: show(shown) });
    }
    found.sort_by_key(|(shown, _)| show(shown));
    Ok(found)
}

fn source(path: PathBuf, shown: &Path, real: &Path) -> Source {
    let top = home(real).filter(|top| real.starts_with(top.join("corpus")));
    let name = match &top {
        Some(top) => show(&real.strip_prefix(top.join("corpus")).unwrap_or(real).with_extension("")),
        None => real.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    Source { path, shown: show(shown), name, goldens: top.map(|top| top.join("golden")) }
}

/// A path as messages and names have it, with `/` on every system.
pub fn show(path: &Path) -> String {
    path.display().to_string().replace(std::path::MAIN_SEPARATOR, "/")
}

/// What lies beside a path that leads nowhere, under the name most like its own.
fn nearest(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(path.parent()?).ok()?.take(10_000);
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    recorder::case::nearest(&wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a corpus of two cases and one case outside it.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in ["corpus/b", "corpus/a", "golden", "elsewhere", "empty"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for path in ["corpus/b/two.case", "corpus/a/one.case", "elsewhere/three.case", "corpus/a/notes.md"] {
            std::fs::write(folder.path().join(path), "").unwrap();
        }
        folder
    }

    fn names(sources: &[Source]) -> Vec<(&str, &str, bool)> {
        sources.iter().map(|s| (s.shown.as_str(), s.name.as_str(), s.goldens.is_some())).collect()
    }

    #[test]
    fn the_corpus_is_found_from_any_folder_below_its_top() {
        let folder = folder();
        let top = folder.path().canonicalize().unwrap();
        let whole_corpus = [("corpus/a/one.case", "a/one", true), ("corpus/b/two.case", "b/two", true)];
        assert_eq!(names(&whole(&top).unwrap()), whole_corpus);
        let inside = whole(&top.join("empty")).unwrap();
        assert_eq!(inside.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["a/one", "b/two"]);
    }

    #[test]
    fn any_file_and_any_folder_can_be_named_and_each_case_comes_once() {
        let folder = folder();
        let paths: Vec<PathBuf> = ["elsewhere", "corpus/a/one.case", "corpus/a"].map(PathBuf::from).to_vec();
        let found = find(&paths, folder.path()).unwrap();
        assert_eq!(
            names(&found),
            [("elsewhere/three.case", "three", false), ("corpus/a/one.case", "a/one", true)]
        );
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_with_its_neighbour() {
        let folder = folder();
        let error = |path: &str| find(&[path.into()], folder.path()).unwrap_err().to_string();
        assert_eq!(error("corpus/b/tow.case"), "nothing lies at corpus/b/tow.case; did you mean two.case?");
        assert_eq!(error("xyz"), "nothing lies at xyz");
        assert_eq!(error("empty"), "no case lies below empty: a case is a file whose name ends in .case");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let folder = folder();
        let path = folder.path().join("elsewhere/three.case");
        let read = || find(&["elsewhere".into()], folder.path()).unwrap()[0].read().unwrap_err().to_string();
        std::fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert_eq!(read(), "elsewhere/three.case is no case: it is not UTF-8 text");
        std::fs::write(&path, vec![b'#'; LONGEST as usize + 1]).unwrap();
        assert_eq!(read(), "elsewhere/three.case is no case: it has more than a mebibyte");
    }
}
