//! The accepted goldens: where they lie, how they are read, and how a text differs from one.
//!
//! The files are insta's, so that `cargo insta review` works on them; the tests write them through
//! insta. Here they are only read.

use similar::TextDiff;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Where the golden of a case lies, below the folder `golden`.
pub fn path(folder: &Path, case: &str) -> PathBuf {
    folder.join(format!("{case}.snap"))
}

/// The accepted text of a case, or none when nothing was accepted yet.
///
/// # Errors
/// When the file is there and cannot be read, or is not UTF-8, or lacks insta's header.
pub fn read(folder: &Path, case: &str) -> io::Result<Option<String>> {
    let path = path(folder, case);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text.replace("\r\n", "\n"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let rest = text.strip_prefix("---\n");
    let body = rest.and_then(|rest| rest.split_once("\n---\n")).map(|(_, body)| body.to_owned());
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no header between two lines of ---");
    body.map(Some).ok_or_else(broken)
}

/// Whether a text is the accepted one. Ends of file do not count.
pub fn same(accepted: &str, text: &str) -> bool {
    accepted.trim_end() == text.trim_end()
}

/// What changed against the accepted text, as a unified difference.
pub fn changes(accepted: &str, text: &str) -> String {
    let (accepted, text) = (format!("{}\n", accepted.trim_end()), format!("{}\n", text.trim_end()));
    // No deadline: a difference that depends on the processor's speed would not be the same twice.
    let diff = TextDiff::from_lines(accepted.as_str(), text.as_str());
    diff.unified_diff().context_radius(3).header("accepted", "now").to_string()
}

/// The first line of `text` that the accepted text does not have there, counted from 0.
pub fn first_change(accepted: &str, text: &str) -> usize {
    let same = accepted.trim_end().lines().zip(text.trim_end().lines()).take_while(|(a, b)| a == b);
    same.count()
}

/// The names of all goldens below the folder, sorted: `termination/null_handle_ends_the_others`.
///
/// # Errors
/// When a folder cannot be listed.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.path().extension().is_none_or(|extension| extension != "snap") {
            continue;
        }
        let name = entry.path().strip_prefix(folder).unwrap_or(entry.path()).with_extension("");
        let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        names.push(parts.join("/"));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tandem-golden-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("topic")).unwrap();
        folder
    }

    #[test]
    fn a_golden_is_what_stands_below_its_header() {
        let folder = folder("read");
        std::fs::write(path(&folder, "topic/one"), "---\nsource: x\ninput_file: y\n---\na\n---\nb\n")
            .unwrap();
        std::fs::write(path(&folder, "topic/broken"), "a\nb\n").unwrap();
        assert_eq!(read(&folder, "topic/one").unwrap().as_deref(), Some("a\n---\nb\n"));
        assert_eq!(read(&folder, "topic/two").unwrap(), None);
        assert_eq!(read(&folder, "topic/broken").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(names(&folder).unwrap(), ["topic/broken", "topic/one"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_the_end_of_the_file_may_differ() {
        assert!(same("a\nb", "a\nb\n"));
        assert!(!same("a\nb", "a\nc\n"));
        assert_eq!(first_change("a\nb\nc", "a\nx\nc\n"), 1);
        assert_eq!(first_change("a\nb", "a\nb\nc\n"), 2);
        assert_eq!(changes("a\nb", "a\nc\n"), "--- accepted\n+++ now\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }
}
