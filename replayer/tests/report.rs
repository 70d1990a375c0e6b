//! The report in a real browser: hostile text stays text, nothing is fetched, a narrow window needs no
//! sideways scrolling, in both colour schemes. Says `skipped: no chromium` where there is none.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const HOSTILE: &str = "# A title with <script>document.title='run'</script> & \"quotes\" <b>bold</b>.\n\
    # differs: <img src=http://127.0.0.1:9/x onerror=document.title='run'> ReactOS has no NULL case.\n\
    process app\nthread main in=app\nthread worker in=app\n\
    main NtTerminateProcess process=NULL status=0xC000013A\n";

/// Runs the program; its exit status and what it said.
fn tandem(here: &Path, args: &[&str]) -> (u8, String, String) {
    let args: Vec<&str> = std::iter::once("tandem").chain(args.iter().copied()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = replayer::cli::main_with(here, args, &mut out, &mut err);
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A report of the hostile case and of one that agrees.
fn report(top: &Path) -> PathBuf {
    std::fs::write(top.join("hostile<b>.case"), HOSTILE).unwrap();
    std::fs::write(top.join("quiet.case"), "# Nothing happens.\nprocess app\nthread main in=app\n").unwrap();
    let (status, _, err) = tandem(top, &["run", "hostile<b>.case", "quiet.case", "--report", "report"]);
    assert_eq!(status, 0, "{err}");
    top.join("report")
}

fn chromium(args: &[&str]) -> Option<(String, String)> {
    let profile = tempfile::tempdir().unwrap();
    let always = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--virtual-time-budget=3000",
    ];
    let ran = Command::new("chromium")
        .args(always)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .output();
    let Ok(output) = ran else {
        // Not by eprintln!, which the test harness would swallow.
        let _ = std::io::stderr().write_all(b"skipped: no chromium\n");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .collect();
    found.sort();
    found
}

#[test]
fn hostile_text_stays_text_and_names_stay_inside() {
    let top = tempfile::tempdir().unwrap();
    let folder = report(top.path());
    let pages = pages(&folder);
    assert_eq!(pages.len(), 3, "{pages:?}");
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("<b>bold"));
        let fetched = ["src=", "url(", "@import"].into_iter().filter(|what| text.contains(what));
        // What is left is the escaped text of the case.
        assert!(fetched.clone().all(|what| what == "src="), "{:?}", fetched.collect::<Vec<_>>());
    }
    let case = std::fs::read_to_string(folder.join("cases/hostile_b_.html")).unwrap();
    assert!(case.contains("&lt;script&gt;") && case.contains("&lt;img src=http"));
    for page in &pages {
        let Some((dom, log)) = chromium(&["--dump-dom", &format!("file://{}", page.display())]) else {
            return;
        };
        assert!(dom.contains("Tandem</title>") || dom.contains("Tandem: all cases</title>"), "{dom}");
        // The policy refuses nothing, because nothing asks for anything.
        assert!(!log.contains("CONSOLE"), "{log}");
    }
}

#[test]
fn a_narrow_window_scrolls_in_one_direction_only() {
    let top = tempfile::tempdir().unwrap();
    let folder = report(top.path());
    for page in pages(&folder) {
        for scheme in ["0", "1"] {
            // A copy that may measure itself: the page as it is written forbids every script.
            let text = std::fs::read_to_string(&page).unwrap();
            let start = text.find("<meta http-equiv").unwrap();
            let end = start + text[start..].find('>').unwrap() + 1;
            let open = text.replace("<details", "<details open");
            let measure = "<script>document.title = document.documentElement.scrollWidth + ' of ' + \
                           innerWidth + ' ' + getComputedStyle(document.body).backgroundColor</script></body>";
            let copy = format!("{}{}", &open[..start], &open[end..]).replace("</body>", measure);
            let place = page.with_file_name("measured.htm");
            std::fs::write(&place, copy).unwrap();
            let address = format!("file://{}", place.display());
            let blink = format!("--blink-settings=preferredColorScheme={scheme}");
            let Some((dom, _)) = chromium(&["--window-size=500,900", &blink, "--dump-dom", &address]) else {
                return;
            };
            let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
            let (width, rest) = title.split_once(" of ").unwrap_or_else(|| panic!("{title}"));
            let (window, paper) = rest.split_once(' ').unwrap();
            let [width, window] = [width, window].map(|number| number.parse::<u32>().unwrap());
            assert!(window <= 600 && width <= window, "{}: {title}", page.display());
            let dark = scheme == "0";
            assert_eq!(paper == "rgb(20, 23, 27)", dark, "{title}");
            assert_eq!(paper == "rgb(251, 250, 247)", !dark, "{title}");
        }
    }
}

#[test]
fn a_folder_that_is_not_ours_is_refused() {
    let top = tempfile::tempdir().unwrap();
    std::fs::write(top.path().join("quiet.case"), "# Nothing happens.\nprocess app\n").unwrap();
    let (status, out, err) = tandem(top.path(), &["run", "quiet.case", "--report", "."]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("is not empty and not an earlier report"), "{err}");
    for _ in 0..2 {
        let (status, _, err) = tandem(top.path(), &["run", "quiet.case", "--report", "report"]);
        assert_eq!(status, 0, "{err}");
    }
}
