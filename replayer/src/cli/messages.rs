//! Everything that the program says.

use super::{BAD, FINE};
use crate::corpus::CorpusError;
use clap::builder::StyledStr;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use recorder::CaseError;
use std::io::{self, Write};

/// Where the program's words go: results to the output, everything else to the error stream.
pub(super) struct Messages<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    terminal: bool,
    colour: bool,
    bar: Option<ProgressBar>,
}

impl<'a> Messages<'a> {
    /// With `terminal` there is a progress bar, with `colour` errors are coloured.
    pub(super) fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        terminal: bool,
        colour: bool,
    ) -> Messages<'a> {
        Messages { out, err, terminal, colour, bar: None }
    }

    /// A part of the result, as it is.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        let out = &mut self.out;
        let mut write = || out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// A line of the result.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Something beside the result, as it is.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        let err = &mut self.err;
        let mut write = || err.write_all(text.as_bytes()).and_then(|()| err.flush());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows how far `count` pieces of work have come, on a terminal.
    pub(super) fn begin(&mut self, count: usize) {
        if self.terminal {
            let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
            self.bar = Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        }
    }

    /// One piece of work is done.
    pub(super) fn advance(&mut self, name: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.inc(1);
        }
    }

    /// All of it is done.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A case or a file that is wrong; errors of a case's text bring their own layout.
    pub(super) fn bad(&mut self, error: &(dyn std::error::Error + 'static)) -> io::Result<()> {
        let case = error.downcast_ref::<CaseError>();
        let case = case.or_else(|| match error.downcast_ref::<CorpusError>() {
            Some(CorpusError::Case(case)) => Some(case),
            _ => None,
        });
        let text = match case {
            Some(case) if self.colour => case.coloured(),
            Some(case) => case.to_string(),
            None => format!("error: {error}"),
        };
        self.note(&format!("{}\n", text.trim_end()))
    }

    /// What clap says of bad usage. Gives the exit status.
    pub(super) fn usage(&mut self, text: &StyledStr) -> u8 {
        let text = if self.colour { text.ansi().to_string() } else { text.to_string() };
        let _ = self.note(&text);
        BAD
    }

    /// Why the program cannot do what it was asked. Gives the exit status.
    pub(super) fn failure(&mut self, error: &anyhow::Error) -> u8 {
        self.finish();
        // Whoever read the output has gone; there is nobody to tell, and nothing went wrong.
        let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<io::Error>().is_some_and(gone) {
            return FINE;
        }
        let of_case = error.downcast_ref::<CaseError>().is_some()
            || matches!(error.downcast_ref::<CorpusError>(), Some(CorpusError::Case(_)));
        let _ = if of_case { self.bad(error.as_ref()) } else { self.note(&format!("error: {error:#}\n")) };
        BAD
    }
}
