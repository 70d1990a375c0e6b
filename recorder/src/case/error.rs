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
pub(super) struct Problem(Box<Draft>);

#[derive(Clone, Debug)]
struct Draft {
    title: String,
    inner: Inner,
}

impl Problem {
    /// What is wrong, in a sentence, and a label for the place.
    pub(super) fn new(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Problem {
        let inner = Inner { text: String::new(), span, label: label.into(), other: None, help: None };
        Problem(Box::new(Draft { title: title.into(), inner }))
    }
    /// Points at a second place.
    pub(super) fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Problem {
        self.0.inner.other = Some((span, label.into()));
        self
    }
    /// Says what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.0.inner.help = Some(help.into());
        self
    }
    /// The error in its file.
    pub(super) fn of(self, path: &str, text: &str) -> CaseError {
        let Draft { title, mut inner } = *self.0;
        let before = &text[..inner.span.start];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() as u32 + 1;
        let column = before[start..].chars().count() as u32 + 1;
        inner.text = text.to_owned();
        CaseError { path: path.to_owned(), line, column, title, inner: Box::new(inner) }
    }
}

impl CaseError {
    /// The message as a terminal shows it, in colour.
    pub fn coloured(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let inner = &self.inner;
        // Tabs and other control characters would move the carets; each is shown as a space, or as two
        // when it has two bytes, because spans count bytes. Line ends are the renderer's business.
        let mut text = String::with_capacity(inner.text.len());
        let mut rest = inner.text.chars().peekable();
        while let Some(c) = rest.next() {
            let ends = c == '\n' || c == '\r' && rest.peek() == Some(&'\n');
            match c {
                c if ends || !c.is_control() => text.push(c),
                c => text.extend(std::iter::repeat_n(' ', c.len_utf8())),
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
