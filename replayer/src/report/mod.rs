//! `run --report`: a static site, written into one folder, that needs no network and no script.
//!
//! - `overview` is the page of all cases, by topic.
//! - `case` is a case's page: both kernels as lanes over the same events.
//! - [`Site`] writes them, and nothing outside of its folder: the names of files are made here.
//!
//! Every text that comes from a case, a sheet or a kernel passes through maud, which escapes it; a
//! policy in each page's head forbids scripts and everything from elsewhere besides.

mod case;
mod overview;
mod rule;
mod site;

pub use case::page;
pub use site::{Site, SiteError};

use crate::formats::Entry;
use crate::judge::Verdict;
use maud::{DOCTYPE, Markup, html};

/// A case as the overview lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What came of it.
    pub entry: Entry,
    /// The rules and sections that it covers.
    pub covers: Vec<String>,
    /// Its page, from the site's folder; none when the case could not be recorded.
    pub page: Option<String>,
}

/// What a verdict is called, and the class that colours it.
fn chip(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Agrees => ("agrees", "agrees"),
        Verdict::Differs => ("differs as written", "differs"),
        Verdict::Unexpected(_) => ("unexpected", "unexpected"),
    }
}

/// A whole page: `up` leads from it to the site's folder.
fn document(title: &str, up: &str, body: &Markup) -> String {
    let policy = "default-src 'none'; style-src 'self' file:; base-uri 'none'; form-action 'none'";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="tandem";
                title { (title) }
                link rel="stylesheet" href={ (up) "style.css" };
            }
            body {
                a .skip href="#main" { "To the content" }
                (body)
            }
        }
    };
    page.into_string()
}
