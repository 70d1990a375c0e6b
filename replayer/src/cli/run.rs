//! `tandem run`: every case on two kernels, compared and measured by what was written.

use super::{BAD, FINE, Format, RunOptions, UNEXPECTED, kernel, messages::Messages};
use crate::corpus::{self, Source};
use crate::judge::{Surprise, Verdict, judge};
use crate::{batch, compare, json};
use contract::Kernel;
use recorder::{Case, RecordError};
use std::path::Path;

/// A case, the kernels that it runs on, and where it comes from.
struct Job {
    source: Source,
    case: Case,
    left: &'static dyn Kernel,
    right: &'static dyn Kernel,
}

/// What came of a case: the verdict, and its line of JSON if that was asked for.
struct Done {
    verdict: Verdict,
    json: Option<String>,
}

/// How many cases had which verdict.
#[derive(Default)]
struct Count {
    agree: usize,
    differ: usize,
    unexpected: usize,
}

pub(super) fn run(here: &Path, options: &RunOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let sources =
        if options.paths.is_empty() { corpus::whole(here)? } else { corpus::find(&options.paths, here)? };
    let Some(jobs) = jobs(sources, options, messages)? else { return Ok(BAD) };

    let mut count = Count::default();
    messages.begin(jobs.len());
    batch::in_order(
        &jobs,
        |job| one(job, options.format),
        |index, done| {
            let shown = &jobs[index].source.shown;
            tell(shown, &done, options.format, messages)?;
            count.add(&done.verdict);
            messages.advance(shown);
            Ok::<_, std::io::Error>(())
        },
    )?;
    messages.finish();

    let closing = count.line();
    match options.format {
        Format::Text => messages.line(&closing)?,
        Format::Json => messages.note(&format!("{closing}\n"))?,
    }
    Ok(if count.unexpected == 0 { FINE } else { UNEXPECTED })
}

/// Reads every case before any is run; none when one of them is wrong, which has been told then.
fn jobs(
    sources: Vec<Source>,
    options: &RunOptions,
    messages: &mut Messages,
) -> anyhow::Result<Option<Vec<Job>>> {
    let mut jobs = Vec::new();
    let mut wrong = false;
    for source in sources {
        match source.read() {
            Ok(case) => {
                let left = kernel(options.left.as_ref().unwrap_or(&case.kernels.0))?;
                let right = kernel(options.right.as_ref().unwrap_or(&case.kernels.1))?;
                jobs.push(Job { source, case, left, right });
            }
            Err(error) => {
                wrong = true;
                messages.bad(&error)?;
            }
        }
    }
    Ok((!wrong).then_some(jobs))
}

fn one(job: &Job, format: Format) -> Done {
    let compared = match compare(&job.case, job.left, job.right) {
        Ok(compared) => compared,
        Err(error) => {
            let surprise =
                Surprise { line: error_line(&error), what: error.to_string(), more: String::new() };
            return Done { verdict: Verdict::Unexpected(surprise), json: None };
        }
    };
    let comparison = &compared.comparison;
    let json = (format == Format::Json).then(|| {
        let first = comparison.first_difference();
        let report = json::report(&job.case.name, comparison, first.as_ref());
        serde_json::to_string(&report).expect("names, numbers and text are always JSON")
    });
    Done { verdict: judge(&job.case, comparison, job.source.goldens.as_deref()), json }
}

/// The line of the case at which it could not go on; the first when it was not even begun.
fn error_line(error: &RecordError) -> u32 {
    match error {
        RecordError::Stopped { line, .. } => (*line).max(1),
        _ => 1,
    }
}

fn tell(shown: &str, done: &Done, format: Format, messages: &mut Messages) -> std::io::Result<()> {
    let line = match &done.verdict {
        Verdict::Agrees => format!("agrees              {shown}\n"),
        Verdict::Differs => format!("differs as written  {shown}\n"),
        Verdict::Unexpected(surprise) => unexpected(shown, surprise),
    };
    match format {
        Format::Text => messages.text(&line),
        // Standard output holds JSON and nothing else; a case that could not be recorded has none.
        Format::Json => {
            if let Some(json) = &done.json {
                messages.line(json)?;
            }
            if matches!(done.verdict, Verdict::Unexpected(_)) { messages.note(&line) } else { Ok(()) }
        }
    }
}

fn unexpected(shown: &str, surprise: &Surprise) -> String {
    let mut text = format!("unexpected          {shown}:{}: {}\n", surprise.line, surprise.what);
    for line in surprise.more.lines() {
        text.push_str(format!("    {line}").trim_end());
        text.push('\n');
    }
    text
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Agrees => self.agree += 1,
            Verdict::Differs => self.differ += 1,
            Verdict::Unexpected(_) => self.unexpected += 1,
        }
    }

    /// The closing line. Its form is fixed: others read it.
    fn line(&self) -> String {
        let Count { agree, differ, unexpected } = self;
        let cases = agree + differ + unexpected;
        format!("{cases} cases: {agree} agree, {differ} differ as written, {unexpected} unexpected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_has_exactly_this_form() {
        let count = Count { agree: 9, differ: 12, unexpected: 0 };
        assert_eq!(count.line(), "21 cases: 9 agree, 12 differ as written, 0 unexpected");
    }

    #[test]
    fn a_surprise_stands_under_its_place() {
        let surprise = Surprise { line: 9, what: "the golden differs".into(), more: "a\n\nb\n".into() };
        let expected = "unexpected          x.case:9: the golden differs\n    a\n\n    b\n";
        assert_eq!(unexpected("x.case", &surprise), expected);
    }
}
