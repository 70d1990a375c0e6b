//! What a report costs: 500 cases run, compared and written, and the overview loaded in a browser.
//!
//! `cargo bench -p replayer --bench report` repeats the corpus under other names until there are so many
//! cases. Where there is no chromium, the overview is not loaded.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Cases of the report.
const CASES: usize = 500;
/// Times that the overview is loaded.
const LOADS: usize = 5;

fn main() {
    let folder = std::env::temp_dir().join(format!("tandem-report-{}", std::process::id()));
    repeat(&folder.join("cases"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["tandem", "run", "cases", "--report", "report"];
    let start = Instant::now();
    let status = replayer::cli::main_with(&folder, args, &mut out, &mut err);
    let took = start.elapsed();
    assert_eq!(status, 0, "{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let last = String::from_utf8_lossy(&out).lines().last().unwrap_or_default().to_owned();
    println!("{last}: run, compared and written in {took:.1?}");
    load(&folder.join("report"));
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Writes the cases of the corpus, over and over, each round into topics of its own.
fn repeat(folder: &Path) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let sources = replayer::corpus::find(&[corpus], Path::new("/")).expect("the corpus is there");
    for (number, source) in sources.iter().cycle().take(CASES).enumerate() {
        let path = folder.join(format!("{}-{}.case", source.name, number / sources.len()));
        std::fs::create_dir_all(path.parent().expect("a topic")).expect("a folder");
        std::fs::copy(&source.path, path).expect("a case");
    }
}

/// Loads the overview and prints the time from the beginning of the navigation to the end of its load
/// event, all of the page laid out: as the page itself measures it.
fn load(report: &Path) {
    let page = std::fs::read_to_string(report.join("index.html")).expect("an overview");
    // The page as it is written forbids every script.
    let start = page.find("<meta http-equiv").expect("a policy");
    let end = start + page[start..].find('>').expect("an end") + 1;
    let measure = "<script>addEventListener('load', () => { document.documentElement.scrollHeight; \
                   document.title = Math.round(performance.now()); })</script></body>";
    let copy = format!("{}{}", &page[..start], &page[end..]).replace("</body>", measure);
    let place = report.join("measured.htm");
    std::fs::write(&place, copy).expect("a page");
    let mut times = Vec::new();
    for _ in 0..LOADS {
        let profile = report.join("profile");
        let ran = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(["--dump-dom", &format!("file://{}", place.display())])
            .output();
        let Ok(output) = ran else {
            println!("skipped: no chromium");
            return;
        };
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
        let Ok(time) = title.parse() else { panic!("no time in the title {title:?}") };
        times.push(Duration::from_millis(time));
        std::fs::remove_dir_all(profile).expect("the profile goes");
    }
    times.sort_unstable();
    println!(
        "its overview, {} KiB, loads in {:.0?} (median of {LOADS}; most {:.0?})",
        page.len() / 1024,
        times[LOADS / 2],
        times[LOADS - 1]
    );
}
