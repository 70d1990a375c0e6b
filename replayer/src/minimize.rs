//! Making a script smaller that still shows the same difference.
//!
//! Lines are left out in ever smaller pieces, and with each name all lines that mention it; then words of
//! the lines that are left. Each time the script must still be one, and its first difference must be the
//! same: the same verb, and the same facts with the same values on both sides. What is tried, and in
//! which order, depends on nothing but the script.

use crate::compare::outcomes;
use crate::explain::facts::{self, Differing};
use contract::Kernel;
use golden::Comparison;
use recorder::{Case, CaseError, RecordError};
use std::collections::BTreeSet;

/// Scripts that are tried at most.
const TRIES: usize = 20_000;

/// A script that was made smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimized {
    /// The script.
    pub text: String,
    /// The lines that were left out: their numbers in the original, and their texts.
    pub removed: Vec<(u32, String)>,
    /// The lines that were made simpler: number, text before, text after.
    pub simplified: Vec<(u32, String, String)>,
    /// How many scripts were tried.
    pub tries: usize,
}

/// Why a script cannot be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum MinimizeError {
    /// It shows no difference.
    #[error("{left} and {right} agree: there is no difference to keep")]
    Agrees {
        /// The first kernel.
        left: String,
        /// The second kernel.
        right: String,
    },
    /// It is no case.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// It cannot be run.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What must stay: the verb of the event, and the facts; any difference will do where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    verb: String,
    facts: Vec<Differing>,
}

struct Search<'c> {
    case: &'c Case,
    kernels: (&'static dyn Kernel, &'static dyn Kernel),
    /// The comments at the head.
    head: String,
    wanted: Option<Difference>,
    tries: usize,
    /// Scripts that were tried and do not show it.
    failed: BTreeSet<String>,
}

/// A line that is left: its number in the original, and its text now.
type Kept = (u32, String);

/// Makes a case smaller. With `same` its first difference stays the same, else it keeps some difference.
///
/// # Errors
/// [`MinimizeError`].
pub fn minimize(
    case: &Case,
    left: &'static dyn Kernel,
    right: &'static dyn Kernel,
    same: bool,
) -> Result<Minimized, MinimizeError> {
    let comparison = outcomes(case, left, right)?;
    let (event, first) = first(case, &comparison).ok_or_else(|| MinimizeError::Agrees {
        left: left.name().to_owned(),
        right: right.name().to_owned(),
    })?;
    let comments =
        case.text.lines().take_while(|line| line.trim_start().starts_with('#') || line.trim().is_empty());
    let head: String =
        comments.filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect();
    let mut search = Search {
        case,
        kernels: (left, right),
        head,
        wanted: same.then_some(first),
        tries: 0,
        failed: BTreeSet::new(),
    };
    // Nothing behind the first difference can matter to it.
    let all: Vec<Kept> = case.lines.iter().map(|line| (line.number, line.text.clone())).collect();
    let mut kept = all[..event].to_vec();
    loop {
        let before = kept.clone();
        search.drop_lines(&mut kept);
        search.drop_names(&mut kept);
        search.drop_words(&mut kept);
        if kept == before {
            break;
        }
    }
    let removed = all.iter().filter(|(number, _)| !kept.iter().any(|(other, _)| other == number));
    let text_of = |number: u32| all.iter().find(|(known, _)| *known == number).map(|(_, text)| text.clone());
    let simplified = kept.iter().filter_map(|(number, now)| {
        let before = text_of(*number)?;
        (before != *now).then(|| (*number, before, now.clone()))
    });
    Ok(Minimized {
        text: search.text(&kept),
        removed: removed.cloned().collect(),
        simplified: simplified.collect(),
        tries: search.tries,
    })
}

/// The first difference of a case, and its event, counted from 1.
fn first(case: &Case, comparison: &Comparison) -> Option<(usize, Difference)> {
    let parting = facts::first(comparison)?;
    let verb = case.lines.get(parting.event - 1)?.event.verb.name.to_owned();
    Some((parting.event, Difference { verb, facts: parting.facts }))
}

impl Search<'_> {
    fn text(&self, kept: &[Kept]) -> String {
        kept.iter().fold(format!("{}\n", self.head), |text, (_, line)| format!("{text}{line}\n"))
    }

    /// Whether these lines are a script that shows the difference, in its last line.
    fn shows(&mut self, kept: &[Kept]) -> bool {
        let text = self.text(kept);
        if self.tries == TRIES || self.failed.contains(&text) {
            return false;
        }
        self.tries += 1;
        let found = Case::parse(&self.case.name, &self.case.name, &text).ok().and_then(|case| {
            let comparison = outcomes(&case, self.kernels.0, self.kernels.1).ok()?;
            let (event, found) = first(&case, &comparison)?;
            let wanted = self.wanted.as_ref().is_none_or(|wanted| *wanted == found);
            (wanted && event == kept.len()).then_some(())
        });
        if found.is_none() {
            self.failed.insert(text);
        }
        found.is_some()
    }

    /// Leaves out pieces of lines, from halves down to single lines.
    fn drop_lines(&mut self, kept: &mut Vec<Kept>) {
        let mut size = kept.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(at..(at + size).min(kept.len()));
                if self.shows(&fewer) {
                    *kept = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    /// Leaves out all lines that mention a name, for each name.
    fn drop_names(&mut self, kept: &mut Vec<Kept>) {
        for name in self.case.names.keys() {
            let mentions =
                |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
            let fewer: Vec<Kept> = kept.iter().filter(|(_, line)| !mentions(line)).cloned().collect();
            if fewer.len() < kept.len() && self.shows(&fewer) {
                *kept = fewer;
            }
        }
    }

    /// Leaves out words of each line, so that what they say is as by default, and a name that is bound;
    /// of numbers, tries 0 and 1.
    fn drop_words(&mut self, kept: &mut [Kept]) {
        for index in 0..kept.len() {
            let mut at = 0;
            while at < kept[index].1.split_whitespace().count() {
                let words: Vec<String> = kept[index].1.split_whitespace().map(str::to_owned).collect();
                let mut simpler: Vec<Vec<String>> = Vec::new();
                if at == 0 && words.get(1).is_some_and(|word| word == "=") {
                    simpler.push(words[2..].to_vec());
                }
                let mut without = words.clone();
                without.remove(at);
                simpler.push(without);
                if let Some((key, value)) = words[at].split_once('=') {
                    let number = value.starts_with(|c: char| c.is_ascii_digit());
                    for plain in ["0", "1"].into_iter().take_while(|plain| number && value != *plain) {
                        let mut with = words.clone();
                        with[at] = format!("{key}={plain}");
                        simpler.push(with);
                    }
                }
                let found = simpler.into_iter().find(|words| {
                    let mut trial = kept.to_vec();
                    trial[index].1 = words.join(" ");
                    self.shows(&trial)
                });
                match found {
                    Some(words) => {
                        let fewer = words.len() < kept[index].1.split_whitespace().count();
                        kept[index].1 = words.join(" ");
                        at += usize::from(!fewer);
                    }
                    None => at += 1,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recorder::kernels::by_name;

    const LONG: &str = "# Much that does not matter.\n# differs: Why.\n\nprocess app\nprocess other\n\
        thread main in=app\nthread worker in=app\nthread third in=other\nthread sleeper in=app\n\
        main NtSuspendThread thread=sleeper\ne = main NtCreateEvent state=yes\n\
        main NtClose handle=bad\nclock advance=30ms\nmain NtSetEvent event=e\n\
        worker NtDelayExecution alertable=yes interval=forever\n\
        main NtTerminateProcess process=NULL status=0xC000013A\nmain NtClose handle=bad\n";

    #[test]
    fn only_what_shows_the_same_facts_is_left_and_each_line_is_needed() {
        let (nt, reactos) = (by_name("nt").unwrap(), by_name("reactos").unwrap());
        let case = Case::parse("x", "x", LONG).unwrap();
        let found = minimize(&case, nt, reactos, true).unwrap();
        assert_eq!(found, minimize(&case, nt, reactos, true).unwrap(), "it is the same every time");
        let smaller = Case::parse("x", "x", &found.text).unwrap();
        let of = |case: &Case| first(case, &outcomes(case, nt, reactos).unwrap()).unwrap().1;
        assert_eq!(of(&smaller), of(&case));
        assert!(smaller.lines.len() <= 8 && smaller.lines.len() < case.lines.len(), "{}", found.text);
        assert_eq!(found.removed.len() + smaller.lines.len(), case.lines.len());
        for gone in ["third", "NtSetEvent", "clock", "NtClose"] {
            assert!(!found.text.contains(gone), "{gone}: {}", found.text);
        }
        // Each line that is left is needed.
        for index in 0..smaller.lines.len() {
            let lines: Vec<&str> = smaller.lines.iter().map(|line| line.text.as_str()).collect();
            let fewer = [&lines[..index], &lines[index + 1..]].concat().join("\n");
            let shown = Case::parse("x", "x", &format!("# A title.\n{fewer}\n"))
                .ok()
                .and_then(|case| Some(first(&case, &outcomes(&case, nt, reactos).ok()?)?.1));
            assert_ne!(shown, Some(of(&case)), "{} is not needed", lines[index]);
        }
    }

    #[test]
    fn without_a_difference_there_is_nothing_to_keep() {
        let nt = by_name("nt").unwrap();
        let case = Case::parse("x", "x", LONG).unwrap();
        let error = minimize(&case, nt, nt, true).unwrap_err();
        assert_eq!(error.to_string(), "nt and nt agree: there is no difference to keep");
    }
}
