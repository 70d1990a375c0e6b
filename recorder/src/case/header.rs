//! The comments at the top of a case: its title, and what it covers, compares and asserts.

use super::error::Problem;
use super::token::{self, Word, nearest};
use crate::{kernels, sheets};
use std::ops::Range;

/// What the top of a case says.
#[derive(Default)]
pub(super) struct Header {
    pub(super) title: Option<(String, Range<usize>)>,
    pub(super) differs: Option<String>,
    pub(super) covers: Vec<String>,
    pub(super) kernels: Option<(String, String)>,
}

const KEYS: [&str; 3] = ["differs", "covers", "kernels"];

/// What a comment line that is indented behind its `#` continues.
#[derive(Clone, Copy, Default)]
pub(super) enum Last {
    #[default]
    Nothing,
    Title,
    Differs,
}

impl Header {
    /// Takes a comment line of the header; `start` is where the line starts in the text.
    pub(super) fn line(&mut self, line: &str, start: usize, last: &mut Last) -> Result<(), Problem> {
        let hash = line.find('#').unwrap_or(0);
        let comment = &line[hash + 1..];
        let trimmed = comment.trim();
        let at = start + hash + 1 + (comment.len() - comment.trim_start().len());
        let span = at..at + trimmed.len();
        if trimmed.is_empty() {
            *last = Last::Nothing;
            return Ok(());
        }
        if comment.starts_with("  ") {
            let continued = match last {
                Last::Title => self.title.as_mut().map(|(title, _)| title),
                Last::Differs => self.differs.as_mut(),
                Last::Nothing => None,
            };
            if let Some(text) = continued {
                text.push(' ');
                text.push_str(trimmed);
                return Ok(());
            }
        }
        if let Some((key, value)) = key(trimmed) {
            let value_at = span.end - value.len();
            return self.key(key, value, at, value_at, last);
        }
        *last = Last::Nothing;
        if self.title.is_none() {
            self.title = Some((trimmed.to_owned(), span));
            *last = Last::Title;
        }
        Ok(())
    }

    fn key(
        &mut self,
        key: &str,
        value: &str,
        at: usize,
        value_at: usize,
        last: &mut Last,
    ) -> Result<(), Problem> {
        let key_span = at..at + key.len();
        *last = Last::Nothing;
        let twice = match key {
            "differs" => self.differs.is_some(),
            "covers" => !self.covers.is_empty(),
            "kernels" => self.kernels.is_some(),
            _ => match nearest(key, KEYS) {
                // A comment may well have a colon; only what looks like a misspelt key is one.
                Some(meant) => {
                    let title = format!("a case has no header line `{key}:`");
                    return Err(Problem::new(key_span, title, format!("did you mean `{meant}`?")));
                }
                None => return Ok(()),
            },
        };
        if twice {
            return Err(Problem::new(key_span, format!("`{key}:` is given twice"), "the second one"));
        }
        if value.is_empty() {
            let needs = match key {
                "differs" => "say why the kernels differ",
                "covers" => "name rules or sections: `NT-2 reactos.md 9.1`",
                _ => "name two kernels: `reactos reactos-msvc6`",
            };
            return Err(Problem::new(key_span, format!("`{key}:` says nothing"), needs));
        }
        let words = token::words(value, value_at);
        match key {
            "differs" => {
                self.differs = Some(value.to_owned());
                *last = Last::Differs;
            }
            "covers" => {
                let mut words = words.iter();
                while let Some(word) = words.next() {
                    self.covers.push(match sheets::SHEETS.iter().find(|sheet| sheet.name == word.text) {
                        Some(_) => section(word, words.next())?,
                        None => rule(word)?,
                    });
                }
            }
            _ => self.kernels = Some(pair(&words, value_at..value_at + value.len())?),
        }
        Ok(())
    }
}

/// `key: value`, when the comment starts like that.
fn key(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
    word.then(|| (key, value.trim()))
}

/// What a case can cover.
const COVERED: &str = "rules are those of nt52.md section 13 (`NT-2`) and reactos.md section 12 (`ROS-30b`); \
                       a section is named behind its sheet (`nt52.md 8.13`)";

/// A rule's number: `NT-2`, `ROS-30b`.
fn rule(word: &Word) -> Result<String, Problem> {
    let sheet = sheets::SHEETS.iter().find(|sheet| word.text.starts_with(sheet.prefix));
    match sheet {
        Some(_) if sheets::says(word.text).is_some() => Ok(word.text.to_owned()),
        Some(sheet) => {
            let title = format!("{} has no rule {}", sheet.name, word.text);
            Err(Problem::new(word.span.clone(), title, "no such rule").help(COVERED))
        }
        None => {
            let title = format!("`{}` is not the number of a rule", word.text);
            Err(Problem::new(word.span.clone(), title, "expected `NT-` or `ROS-` and a number").help(COVERED))
        }
    }
}

/// A section, by its sheet and its number: `nt52.md 8.13`.
fn section(sheet: &Word, number: Option<&Word>) -> Result<String, Problem> {
    let Some(number) = number else {
        let title = format!("no section of {} is named", sheet.text);
        return Err(Problem::new(sheet.span.clone(), title, "expected its number behind it").help(COVERED));
    };
    let named = format!("{} {}", sheet.text, number.text);
    if sheets::says(&named).is_none() {
        let title = format!("{} has no section {}", sheet.text, number.text);
        return Err(Problem::new(number.span.clone(), title, "no such section").help(COVERED));
    }
    Ok(named)
}

fn pair(words: &[Word], span: Range<usize>) -> Result<(String, String), Problem> {
    for word in words {
        if !kernels::names().contains(&word.text) {
            let label = match nearest(word.text, kernels::names().iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "no such kernel".to_owned(),
            };
            let help = format!("the kernels are {}", kernels::names().join(", "));
            let title = format!("there is no kernel `{}`", word.text);
            return Err(Problem::new(word.span.clone(), title, label).help(help));
        }
    }
    match words {
        [left, right] if left.text != right.text => Ok((left.text.to_owned(), right.text.to_owned())),
        [_, second] => {
            Err(Problem::new(second.span.clone(), "a kernel is compared with itself", "name another one"))
        }
        _ => {
            let title = "`kernels:` takes two kernels";
            Err(Problem::new(span, title, "name the two that are compared"))
        }
    }
}
