//! The page of all cases, by topic.

use super::{Listed, chip, document, rule};
use crate::judge::Verdict;
use crate::words::counted;
use maud::{Markup, html};

/// The overview of a run.
pub fn page(cases: &[Listed]) -> String {
    let mut topics: Vec<&str> = cases.iter().map(|case| case.entry.parts().0).collect();
    topics.sort_unstable();
    topics.dedup();
    let of = |topic: &'static str| -> usize {
        counts(cases).iter().find(|(name, _)| *name == topic).map_or(0, |c| c.1)
    };
    let total = cases.len();
    let body = html! {
        header .top {
            p .brand { "Tandem" }
            h1 { "Two kernels, " (counted(total, "case")) }
            p .lead {
                "Each case ran on two kernels, on one i386, from the same events. What a program could tell \
                 apart is compared; where they part, the case says why."
            }
            (bar(cases))
        }
        main #main {
            // Radio buttons and style alone: the filter works by keyboard, and without a script.
            fieldset .filter {
                legend { "Show" }
                @for (id, label, count) in [
                    ("all", "all", total),
                    ("agrees", "agree", of("agrees")),
                    ("differs", "differ as written", of("differs")),
                    ("unexpected", "unexpected", of("unexpected")),
                ] {
                    input type="radio" name="show" id={ "show-" (id) } checked[id == "all"];
                    label for={ "show-" (id) } { (label) " " span .number { (count) } }
                }
            }
            nav .topics aria-label="Topics" {
                ul {
                    @for topic in &topics {
                        li {
                            a href={ "#topic-" (anchor(topic)) } { (name(topic)) }
                            " " span .number { (inside(cases, topic).count()) }
                        }
                    }
                }
            }
            @for topic in &topics {
                section .topic aria-labelledby={ "topic-" (anchor(topic)) } {
                    h2 id={ "topic-" (anchor(topic)) } { (name(topic)) }
                    ul .cases { @for case in inside(cases, topic) { (row(case)) } }
                }
            }
        }
    };
    document("Tandem: all cases", "", &body)
}

fn name(topic: &str) -> &str {
    if topic.is_empty() { "cases" } else { topic }
}

fn inside<'c>(cases: &'c [Listed], topic: &'c str) -> impl Iterator<Item = &'c Listed> {
    cases.iter().filter(move |case| case.entry.parts().0 == topic)
}

/// A topic as a fragment of an address.
fn anchor(topic: &str) -> String {
    topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn counts(cases: &[Listed]) -> Vec<(&'static str, usize)> {
    ["agrees", "differs", "unexpected"]
        .into_iter()
        .map(|class| (class, cases.iter().filter(|case| chip(&case.entry.verdict).1 == class).count()))
        .collect()
}

/// How the cases divide, as a bar of small squares: a square a case, in their order.
fn bar(cases: &[Listed]) -> Markup {
    html! {
        p .bar aria-hidden="true" {
            @for case in cases { i .{ (chip(&case.entry.verdict).1) } {} }
        }
        p .legend {
            @for (class, count) in counts(cases) {
                span { i .{ (class) } aria-hidden="true" {} " " (count) " " (match class {
                    "agrees" => "agree",
                    "differs" => "differ as written",
                    _ => "unexpected",
                }) }
            }
        }
    }
}

fn row(case: &Listed) -> Markup {
    let (label, class) = chip(&case.entry.verdict);
    let title = if case.entry.title.is_empty() { &case.entry.name } else { &case.entry.title };
    html! {
        li .case .{ (class) } {
            span .chip { (label) }
            div {
                @match &case.page {
                    Some(page) => a .title href=(page) { (title) },
                    None => span .title { (title) },
                }
                @if let Verdict::Unexpected(surprise) = &case.entry.verdict {
                    p .surprise { "line " (surprise.line) ": " (surprise.what) }
                } @else {
                    @if let Some((line, what)) = &case.entry.first {
                        p .what { "line " (line) ": " (what) }
                    }
                    @if let Some(reason) = &case.entry.reason { p .reason { (reason) } }
                }
                p .path {
                    (case.entry.shown)
                    @for covered in &case.covers {
                        " "
                        @match rule::told(covered) {
                            Some(text) => abbr .rule title=(text) { (covered) },
                            None => span .rule { (covered) },
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Entry;

    #[test]
    fn a_topic_leads_to_its_cases_and_an_empty_one_has_a_name() {
        let listed = |name: &str| Listed {
            entry: Entry {
                shown: format!("{name}.case"),
                name: name.to_owned(),
                title: "A title.".to_owned(),
                reason: None,
                first: None,
                verdict: Verdict::Agrees,
                failed: false,
            },
            covers: Vec::new(),
            page: None,
        };
        let page = page(&["alone", "my topic/x", "apc/x", "apc/y"].map(listed));
        let told = [("topic-", "cases", 1), ("topic-apc", "apc", 2), ("topic-my-topic", "my topic", 1)];
        for (anchor, name, count) in told {
            let link = format!("<a href=\"#{anchor}\">{name}</a> <span class=\"number\">{count}</span>");
            assert!(page.contains(&link), "{link} is missing in\n{page}");
            let head = format!("<h2 id=\"{anchor}\">{name}</h2>");
            assert!(page.contains(&head), "{head} is missing in\n{page}");
        }
        assert!(page.contains("<h1>Two kernels, 4 cases</h1>"));
        assert!(super::page(&[listed("alone")]).contains("<h1>Two kernels, 1 case</h1>"));
    }
}
