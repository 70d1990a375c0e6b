//! The folder of a report: what may be written where.
//!
//! A folder that holds anything but an earlier report is left alone. Of an earlier report exactly the
//! files go that it had written, as its list of files says; a list that names anything outside of the
//! folder is no list of ours.

use super::{Listed, overview};
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The file that marks a folder as a report and lists the others, one a line.
const LIST: &str = "tandem-report.txt";
/// Its first line.
const HEAD: &str = "Files of a Tandem report. They go when the next one is written here.";
const STYLE: &str = include_str!("style.css");

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The folder holds other things.
    #[error("{path} is not empty and not an earlier report: name a new folder, or an empty one")]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// Something cannot be read or written.
    #[error("{path}: {cause}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// A report that is being written.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    taken: BTreeSet<String>,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SiteError + '_ {
    move |cause| SiteError::Io { path: path.to_owned(), cause }
}

impl Site {
    /// Makes the folder ready: new, empty, or cleared of an earlier report.
    ///
    /// # Errors
    /// [`SiteError`]; nothing has been touched when the folder is not ours.
    pub fn begin(folder: &Path) -> Result<Site, SiteError> {
        match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(folder)(error)),
            Ok(mut entries) => {
                if entries.next().is_some() {
                    clear(folder)?;
                }
            }
        }
        let site = Site { folder: folder.to_owned(), taken: BTreeSet::new() };
        // The list comes first: a report that is cut short can still be cleared.
        site.put(LIST, &format!("{HEAD}\n"))?;
        site.list("style.css")?;
        site.put("style.css", STYLE)?;
        Ok(site)
    }

    /// A place for a case's page, from the site's folder: made from the case's name with no character
    /// that could lead elsewhere, and taken by no other case.
    pub fn place(&mut self, name: &str) -> String {
        let plain = |part: &str| -> String {
            let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
            part.chars().take(80).map(safe).collect()
        };
        let (topic, case) =
            name.rsplit_once('/').filter(|(topic, _)| !topic.is_empty()).unwrap_or(("cases", name));
        let stem = format!("{}/{}", plain(topic), plain(case));
        let mut place = format!("{stem}.html");
        let mut number = 2;
        // Some file systems know no capital letters.
        while !self.taken.insert(place.to_ascii_lowercase()) {
            place = format!("{stem}-{number}.html");
            number += 1;
        }
        place
    }

    /// Writes a page.
    ///
    /// # Errors
    /// [`SiteError::Io`].
    pub fn page(&self, place: &str, text: &str) -> Result<(), SiteError> {
        self.list(place)?;
        self.put(place, text)
    }

    /// Writes the overview. Gives its path.
    ///
    /// # Errors
    /// [`SiteError::Io`].
    pub fn end(self, cases: &[Listed]) -> Result<PathBuf, SiteError> {
        self.page("index.html", &overview::page(cases))?;
        Ok(self.folder.join("index.html"))
    }

    fn list(&self, place: &str) -> Result<(), SiteError> {
        let path = self.folder.join(LIST);
        let mut list = std::fs::OpenOptions::new().append(true).open(&path).map_err(failed(&path))?;
        io::Write::write_all(&mut list, format!("{place}\n").as_bytes()).map_err(failed(&path))
    }

    fn put(&self, place: &str, text: &str) -> Result<(), SiteError> {
        let path = self.folder.join(place);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(failed(above))?;
        }
        std::fs::write(&path, text).map_err(failed(&path))
    }
}

/// Removes the files of an earlier report.
fn clear(folder: &Path) -> Result<(), SiteError> {
    let not_ours = || SiteError::NotOurs { path: folder.to_owned() };
    let path = folder.join(LIST);
    let list = std::fs::read_to_string(&path).map_err(|_| not_ours())?;
    let mut lines = list.lines();
    if lines.next() != Some(HEAD) {
        return Err(not_ours());
    }
    let inside = |line: &&str| Path::new(line).components().all(|part| matches!(part, Component::Normal(_)));
    let files: Vec<&str> = lines.collect();
    if !files.iter().all(inside) {
        return Err(not_ours());
    }
    for file in files.into_iter().chain([LIST]) {
        let path = folder.join(file);
        // A link in place of a page or of its folder is not what a report has written.
        let linked = path.parent().is_some_and(|above| above != folder && above.is_symlink());
        if linked {
            return Err(not_ours());
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
            _ => {}
        }
        // A topic's folder goes once it is empty.
        if let Some(above) = path.parent().filter(|above| *above != folder) {
            let _ = std::fs::remove_dir(above);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let mut site = Site { folder: PathBuf::from("x"), taken: BTreeSet::new() };
        assert_eq!(site.place("../../etc/passwd"), "______etc/passwd.html");
        assert_eq!(site.place("a/b c<d>"), "a/b_c_d_.html");
        assert_eq!(site.place("a/b c<d_"), "a/b_c_d_-2.html");
        assert_eq!(site.place("A/B_c_d_"), "A/B_c_d_-3.html");
        assert_eq!(site.place("alone"), "cases/alone.html");
        assert_eq!(site.place("/etc"), "cases/_etc.html");
    }

    #[test]
    fn only_an_earlier_report_is_replaced() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("report");
        let mut site = Site::begin(&folder).unwrap();
        let place = site.place("a/b");
        site.page(&place, "first").unwrap();
        site.end(&[]).unwrap();
        std::fs::write(folder.join("mine.txt"), "kept").unwrap();
        Site::begin(&folder).unwrap();
        assert!(!folder.join("a").exists() && folder.join("mine.txt").exists());

        let other = top.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("mine.txt"), "kept").unwrap();
        let refused = Site::begin(&other).unwrap_err().to_string();
        assert!(refused.ends_with("name a new folder, or an empty one"), "{refused}");

        let outside = top.path().join("outside.txt");
        std::fs::write(&outside, "kept").unwrap();
        for line in ["../outside.txt".to_owned(), outside.display().to_string()] {
            std::fs::write(other.join(LIST), format!("{HEAD}\n{line}\n")).unwrap();
            assert!(matches!(Site::begin(&other), Err(SiteError::NotOurs { .. })));
            assert!(outside.exists());
        }
    }
}
