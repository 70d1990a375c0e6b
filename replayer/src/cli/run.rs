//! `tandem run`: every case on two kernels, compared and measured by what was written.

use super::{BAD, FINE, Format, RunOptions, UNEXPECTED, kernel, messages::Messages};
use crate::corpus::{self, Source};
use crate::formats::{Entry, junit, perfetto, sarif};
use crate::judge::{Surprise, Verdict, judge};
use crate::report::{self, Listed, Site, SiteError};
use crate::words::counted;
use crate::{Compared, batch, compare, json};
use contract::Kernel;
use golden::Comparison;
use recorder::{Case, RecordError};
use std::path::{Path, PathBuf};

/// A case, the kernels that it runs on, and where it comes from.
struct Job {
    source: Source,
    case: Case,
    left: &'static dyn Kernel,
    right: &'static dyn Kernel,
}

/// What came of a case.
struct Done {
    entry: Entry,
    /// Its part of what is printed, in a format that is printed case by case.
    piece: Option<String>,
    /// Its page in the report, when one is written and the case could be recorded.
    page: Option<String>,
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

    let mut report = match &options.report {
        Some(folder) => Some(Report::begin(here, folder, &jobs)?),
        None => None,
    };
    let mut count = Count::default();
    let mut entries = Vec::new();
    messages.begin(jobs.len());
    let numbered: Vec<(usize, &Job)> = jobs.iter().enumerate().collect();
    batch::in_order(
        &numbered,
        |(index, job)| one(*index, job, options.format, report.as_ref()),
        |index, done| {
            tell(&done, entries.len(), options.format, messages)?;
            if let Some(report) = &report {
                report.write(index, &done)?;
            }
            count.add(&done.entry.verdict);
            messages.advance(&done.entry.shown);
            entries.push(done.entry);
            Ok::<_, anyhow::Error>(())
        },
    )?;
    messages.finish();
    if let Some(report) = report.take() {
        let index = report.end(&jobs, &entries)?;
        messages.note(&format!("report: {}\n", index.display()))?;
    }

    let closing = count.line();
    match options.format {
        Format::Text => messages.line(&closing)?,
        Format::Json => {}
        Format::Junit => messages.text(&junit::document(&entries)?)?,
        Format::Sarif => messages.line(&format!("{:#}", sarif::document(&entries)))?,
        Format::Perfetto => messages.text(perfetto::FRAME.1)?,
    }
    if options.format != Format::Text {
        messages.note(&format!("{closing}\n"))?;
    }
    Ok(if count.unexpected == 0 { FINE } else { UNEXPECTED })
}

/// A report that is being written.
struct Report {
    site: Site,
    /// Where each case's page goes.
    places: Vec<String>,
}

impl Report {
    fn begin(here: &Path, folder: &Path, jobs: &[Job]) -> anyhow::Result<Report> {
        let mut site = Site::begin(&here.join(folder))?;
        let places = jobs.iter().map(|job| site.place(&job.source.name)).collect();
        Ok(Report { site, places })
    }

    fn write(&self, index: usize, done: &Done) -> Result<(), SiteError> {
        done.page.iter().try_for_each(|page| self.site.page(&self.places[index], page))
    }

    /// Writes the overview. Gives its path.
    fn end(self, jobs: &[Job], entries: &[Entry]) -> Result<PathBuf, SiteError> {
        let listed = jobs.iter().zip(entries).zip(self.places).map(|((job, entry), place)| Listed {
            entry: entry.clone(),
            covers: job.case.covers.clone(),
            page: (!entry.failed).then_some(place),
        });
        self.site.end(&listed.collect::<Vec<_>>())
    }
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

fn one(index: usize, job: &Job, format: Format, report: Option<&Report>) -> Done {
    let entry = |verdict, failed| Entry {
        shown: job.source.shown.clone(),
        name: job.source.name.clone(),
        title: job.case.title.clone(),
        reason: job.case.differs.clone(),
        first: None,
        verdict,
        failed,
    };
    let compared = match compare(&job.case, job.left, job.right) {
        Ok(compared) => compared,
        Err(error) => {
            let surprise =
                Surprise { line: error_line(&error), what: error.to_string(), more: String::new() };
            return Done { entry: entry(Verdict::Unexpected(surprise), true), piece: None, page: None };
        }
    };
    let verdict = judge(&job.case, &compared.comparison, job.source.goldens.as_deref());
    let Comparison { left, right, .. } = &compared.comparison;
    let first = compared
        .comparison
        .first_difference()
        .map(|first| (first.line, format!("{}: {left} {}, {right} {}", first.what, first.left, first.right)));
    let entry = Entry { first, ..entry(verdict, false) };
    let page = report.map(|_| {
        let kernels = [job.left, job.right];
        report::page(&entry, &job.case.covers, &compared, kernels, "../")
    });
    Done { piece: piece(index, job, &compared, format), page, entry }
}

fn piece(index: usize, job: &Job, compared: &Compared, format: Format) -> Option<String> {
    match format {
        Format::Text | Format::Junit | Format::Sarif => None,
        Format::Json => {
            let first = compared.comparison.first_difference();
            let report = json::report(&job.case.name, &compared.comparison, first.as_ref());
            Some(serde_json::to_string(&report).expect("names, numbers and text are always JSON"))
        }
        Format::Perfetto => Some(perfetto::events(&job.source.name, index, compared, [job.left, job.right])),
    }
}

/// The line of the case at which it could not go on; the first when it was not even begun.
fn error_line(error: &RecordError) -> u32 {
    match error {
        RecordError::Stopped { line, .. } => (*line).max(1),
        _ => 1,
    }
}

/// Prints what belongs to one case, of which so many came `before`.
fn tell(done: &Done, before: usize, format: Format, messages: &mut Messages) -> std::io::Result<()> {
    let Done { entry: Entry { shown, verdict, .. }, piece, .. } = done;
    let line = match verdict {
        Verdict::Agrees => format!("agrees              {shown}\n"),
        Verdict::Differs => format!("differs as written  {shown}\n"),
        Verdict::Unexpected(surprise) => unexpected(shown, surprise),
    };
    match format {
        Format::Text => return messages.text(&line),
        // A case that could not be recorded has no piece.
        Format::Json => piece.iter().try_for_each(|piece| messages.line(piece))?,
        Format::Perfetto => {
            let between = if before == 0 { perfetto::FRAME.0 } else { ",\n" };
            match piece {
                Some(piece) => messages.text(&format!("{between}{piece}"))?,
                None if before == 0 => messages.text(between)?,
                None => {}
            }
        }
        Format::Junit | Format::Sarif => {}
    }
    // Standard output holds the format and nothing else.
    if matches!(verdict, Verdict::Unexpected(_)) { messages.note(&line) } else { Ok(()) }
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

    /// The closing line. Its form is fixed: others read it. What stands behind the numbers names verdicts, and
    /// so stays the same.
    fn line(&self) -> String {
        let Count { agree, differ, unexpected } = self;
        let cases = counted(agree + differ + unexpected, "case");
        format!("{cases}: {agree} agree, {differ} differ as written, {unexpected} unexpected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_has_exactly_this_form() {
        let count = Count { agree: 9, differ: 12, unexpected: 0 };
        assert_eq!(count.line(), "21 cases: 9 agree, 12 differ as written, 0 unexpected");
        let count = Count { agree: 0, differ: 1, unexpected: 0 };
        assert_eq!(count.line(), "1 case: 0 agree, 1 differ as written, 0 unexpected");
    }

    #[test]
    fn a_surprise_stands_under_its_place() {
        let surprise = Surprise { line: 9, what: "the golden differs".into(), more: "a\n\nb\n".into() };
        let expected = "unexpected          x.case:9: the golden differs\n    a\n\n    b\n";
        assert_eq!(unexpected("x.case", &surprise), expected);
    }
}
