//! What is wrong with a case, shown in its text.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// What is wrong with a case: where, what, and what to do about it.
///
/// `Display` gives the message with the line, the column and an excerpt, without colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseError {
    /// The file, as messages show it.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, in characters counted from 1.
    pub column: u32,
    /// What is wrong, in a sentence without a full stop.
    pub title: String,
    inner: Box<Inner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    text: String,
    span: Range<usize>,
    label: String,
    other: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl std::error::Error for CaseError {}

/// A [`CaseError`] in the making: the parser knows the place, not the file.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    span: Range<usize>,
    title: String,
    label: String,
    other: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Problem {
        Problem { span, title: title.into(), label: label.into(), other: None, help: None }
    }
    /// Points at a second place.
    pub(super) fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Problem {
        self.other = Some((span, label.into()));
        self
    }
    /// Says what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
    pub(super) fn of(self, path: &str, text: &str) -> CaseError {
        let before = &text[..self.span.start];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        CaseError {
            path: path.to_owned(),
            line: before.matches('\n').count() as u32 + 1,
            column: before[start..].chars().count() as u32 + 1,
            title: self.title,
            inner: Box::new(Inner {
                text: text.to_owned(),
                span: self.span,
                label: self.label,
                other: self.other,
                help: self.help,
            }),
        }
    }
}

impl CaseError {
    /// The message as a terminal shows it, in colour.
    pub fn coloured(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let inner = &self.inner;
        // Tabs and other control characters would move the carets; each is shown as one space.
        // Spans count bytes, and every control character above U+007F has two.
        let blank =
            |c: char| if c.is_control() && c != '\n' { if c.is_ascii() { " " } else { "  " } } else { "" };
        let mut text = String::with_capacity(inner.text.len());
        for c in inner.text.chars() {
            match blank(c) {
                "" => text.push(c),
                blank => text.push_str(blank),
            }
        }
        let primary = AnnotationKind::Primary.span(inner.span.clone()).label(inner.label.as_str());
        let mut snippet = Snippet::source(text.as_str()).path(self.path.as_str()).annotation(primary);
        if let Some((span, label)) = &inner.other {
            snippet = snippet.annotation(AnnotationKind::Context.span(span.clone()).label(label.as_str()));
        }
        let mut group: Group = Level::ERROR.primary_title(self.title.as_str()).element(snippet);
        if let Some(help) = &inner.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}
