//! Running Bochs on a tape.

use super::layout::{ANSWERS, MEMORY_MIB, TAPE, TAPE_SIZE};
use super::rom;
use super::tape::Tape;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

/// Bochs, as it is installed here.
#[derive(Clone, Debug)]
pub struct Bochs {
    program: PathBuf,
}

impl Bochs {
    /// Looks for a Bochs that can be used: with its debugger and a terminal display, and `script`, which
    /// gives it a terminal.
    ///
    /// # Errors
    /// What is missing, or why the Bochs that was found cannot be used.
    pub fn find() -> Result<Bochs, String> {
        if !cfg!(target_os = "linux") {
            return Err("no bochs: it is driven on Linux only".to_owned());
        }
        let find = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
        };
        let program =
            find("bochs").ok_or("no bochs in the PATH (Debian: apt-get install bochs bochs-term)")?;
        find("script").ok_or("no bochs: no script(1), which gives it its terminal (Debian: bsdutils)")?;
        let bochs = Bochs { program };
        // An empty tape shows whether it runs at all, and has all that the monitor needs.
        let folder = tempfile::tempdir().map_err(|error| format!("no bochs: {error}"))?;
        match bochs.play(folder.path(), &Tape::default().finish()) {
            Ok(_) => Ok(bochs),
            Err(why) => Err(format!("no bochs that can be used: {why}")),
        }
    }

    /// Has the monitor play a tape, and gives its answers.
    ///
    /// # Errors
    /// What went wrong, with the end of Bochs's own log.
    ///
    /// # Panics
    /// When the tape is longer than the place that the monitor has for it.
    pub fn play(&self, folder: &Path, tape: &[u8]) -> Result<Vec<u8>, String> {
        assert!(tape.len() <= TAPE_SIZE as usize, "the tape is longer than its place");
        self.prepare(folder, tape).map_err(|error| format!("{}: {error}", folder.display()))?;
        let line = format!("'{}' -q -f bochsrc -rc commands -dbglog debugger", self.program.display());
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(folder)
            .env("TERM", "xterm")
            .env("LINES", "40")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("script: {error}"))?;
        let answers = fs::read(folder.join("answers")).unwrap_or_default();
        let length = answers.first_chunk().map_or(0, |raw| u32::from_le_bytes(*raw)) as usize;
        if length < 4 || length != answers.len() {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(format!("bochs gave no answers ({}):\n{}", output.status, tail.join("\n")));
        }
        Ok(answers[4..].to_vec())
    }

    fn prepare(&self, folder: &Path, tape: &[u8]) -> io::Result<()> {
        let rom = rom::image(tape.len() as u32).map_err(|error| io::Error::other(error.to_string()))?;
        fs::write(folder.join("rom"), rom)?;
        // Bochs loads whole sectors.
        let mut padded = tape.to_vec();
        padded.resize(tape.len().next_multiple_of(512), 0);
        fs::write(folder.join("tape"), padded)?;
        let mut settings = String::new();
        let mut set = |line: std::fmt::Arguments| writeln!(settings, "{line}").expect("a string takes it");
        set(format_args!("config_interface: textconfig"));
        set(format_args!("display_library: term"));
        set(format_args!("memory: guest={MEMORY_MIB}, host={MEMORY_MIB}"));
        set(format_args!("romimage: file=rom, address=0xffff0000"));
        set(format_args!("optramimage1: file=tape, address={TAPE:#x}"));
        set(format_args!(
            "cpu: model={MODEL}, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=0"
        ));
        set(format_args!("magic_break: enabled=1"));
        set(format_args!("log: log"));
        // Every fault of a guest would be a line in the log.
        set(format_args!("error: action=ignore"));
        set(format_args!("info: action=ignore"));
        set(format_args!("panic: action=fatal"));
        set(format_args!("sound: waveoutdrv=dummy"));
        fs::write(folder.join("bochsrc"), settings)?;
        fs::write(folder.join("commands"), format!("c\nwritemem \"answers\" {ANSWERS:#x} eax\nquit\n"))
    }
}

/// The oldest processor of Bochs's whose nested page tables have dirty bits.
const MODEL: &str = "corei7_haswell_4770";
