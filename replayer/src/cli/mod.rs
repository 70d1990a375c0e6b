//! The program `tandem`: its commands, and what they end with.

mod coverage;
mod diff;
mod explain;
mod gdb;
mod messages;
mod minimize;
mod new;
mod record;
mod replay;
mod run;
mod show;
mod trace;
mod verbs;
mod who;

use crate::words::counted;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use messages::Messages;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Everything is as written.
pub const FINE: u8 = 0;
/// Something is not as written: a difference without a reason, a golden that no longer fits, a replay
/// that went another way.
pub const UNEXPECTED: u8 = 1;
/// Bad usage or bad input.
pub const BAD: u8 = 2;

/// Runs two NT-like kernels through the same events and shows where they part.
///
/// Without a command: runs the whole corpus, as `tandem run` does.
///
/// Ends with status 0 when everything is as written, 1 when something is not, and 2 for bad usage or
/// input.
#[derive(Parser)]
#[command(name = "tandem", version, propagate_version = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Records cases on two kernels, compares them, and checks their goldens
    Run(RunOptions),
    /// Records a case on one kernel into a file
    Record(RecordOptions),
    /// Runs a recording's inputs again, from the start and from every checkpoint, and compares every
    /// snapshot
    Replay {
        /// The recording
        file: PathBuf,
        /// Runs the recording's events on this kernel instead, and compares what both made of them
        #[arg(long, value_parser = kernel_names())]
        kernel: Option<String>,
    },
    /// Compares two recordings of one case, and shows the calls behind the first difference
    Diff {
        /// A recording
        left: PathBuf,
        /// Another recording of the same case
        right: PathBuf,
    },
    /// Shows where two kernels part in a case, and why: facts, calls, fields, stacks and code
    ///
    /// The calls are told as by `trace`. The instant shown of each kernel is that at which the first fact came
    /// to be, or the event's call was answered; where nothing was called, the end of the event.
    Explain(ExplainOptions),
    /// Shows what a kernel looks like after an event, or in the midst of one: view, registers, fields,
    /// code, stacks; or any structure, memory or stack by name
    Show(ShowOptions),
    /// Tells who wrote a field: every write that changed it, with event, instruction and routine
    Who(WhoOptions),
    /// Shows the native routines that a kernel called, with arguments and results, event by event
    ///
    /// Each line begins with the instant of the call, in instructions of its event, which `show --at` takes;
    /// calls are indented by depth, under the thread that makes them. `X(…) = N` returned N, `X(…) …` had not
    /// returned by the end of the event, `… X` had begun in an earlier one, `X(…) -> Y` went on as Y for good,
    /// and `X(…)` alone gave its frame up, as on the way to user mode. `PsEx block of worker` is one of the
    /// pool with that tag that belongs to worker.
    Trace(TraceOptions),
    /// Lets gdb go through a run of a case, forwards and backwards, on a port of this computer
    ///
    /// Registers, memory, breakpoints, watchpoints on writes, the guest's threads by name, stepi and
    /// reverse-stepi, continue and reverse-continue; `monitor where` tells the event. A native routine
    /// is one instruction. Nothing can be written: what is debugged has happened.
    Gdb(GdbOptions),
    /// Makes a script smaller that still shows the same difference, and tells what it left out
    Minimize(MinimizeOptions),
    /// Writes the skeleton of a case into the corpus
    New {
        /// The case's topic and name: termination/null_handle_ends_the_others
        #[arg(value_name = "TOPIC/NAME")]
        name: String,
    },
    /// Lists every verb with its arguments, their types and defaults, and the kernels that have it
    Verbs,
    /// Lists the numbered rules of the behaviour sheets, the sections that cases name, and the cases that
    /// cover each
    Coverage {
        /// For people, or one JSON object a line for each rule and each section
        #[arg(long, value_enum, default_value_t)]
        format: Listing,
    },
}

#[derive(Args, Default)]
struct RunOptions {
    /// Cases, or folders of cases; the whole corpus when none is given
    paths: Vec<PathBuf>,
    /// The first kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    left: Option<String>,
    /// The second kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    right: Option<String>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also writes a report for browsers into this folder: new, empty, or an earlier report's
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Listing {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object a line for each case
    Json,
    /// JUnit's XML, for build servers: a test suite for each topic
    Junit,
    /// SARIF 2.1.0, for code hosts: a result at the case's file and line
    Sarif,
    /// A trace in JSON, for ui.perfetto.dev: a track for each thread, an arrow at the first difference
    Perfetto,
}

#[derive(Args)]
struct RecordOptions {
    /// The case
    case: PathBuf,
    /// The kernel
    #[arg(long, value_parser = kernel_names())]
    kernel: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Adds a digest of every instruction, so that a replay can name the first one that differs; slower,
    /// and twice the size
    #[arg(long)]
    detail: bool,
}

#[derive(Args)]
struct ExplainOptions {
    /// The case
    case: PathBuf,
    /// The first kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    left: Option<String>,
    /// The second kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    right: Option<String>,
    /// Goes on behind the first difference: sets the differing facts aside by name, and tells of the
    /// differences that do not follow from them
    #[arg(long)]
    resync: bool,
    /// Tells what each interrupt called, also of those that did nothing but take time
    #[arg(long)]
    interrupts: bool,
}

#[derive(Args)]
struct MinimizeOptions {
    /// The script: a case
    script: PathBuf,
    /// Keeps the first difference as it is: the same verb, the same facts, the same values. Without it, some
    /// difference is kept
    #[arg(long)]
    same: bool,
    /// The first kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    left: Option<String>,
    /// The second kernel, instead of the case's
    #[arg(long, value_name = "KERNEL", value_parser = kernel_names())]
    right: Option<String>,
    /// A new file for the smaller script, which else is the output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
struct ShowOptions {
    /// The case
    case: PathBuf,
    /// The kernel
    #[arg(long, value_parser = kernel_names())]
    kernel: String,
    /// After which event, counted from 1 (0 is the booted machine), or so many instructions into it; after
    /// the last one when not given
    #[arg(long, alias = "event", value_name = "EVENT[+INSTRUCTIONS]", value_parser = show::place)]
    at: Option<show::Place>,
    /// Only this structure or field: worker.ETHREAD, worker.ETHREAD.Tcb.ApcState, 81003A38.KAPC
    #[arg(long = "struct", value_name = "NAME.LAYOUT[.FIELD]")]
    structs: Vec<String>,
    /// Only this memory, in the address space that is current: 81003A38,64
    #[arg(long, value_name = "ADDRESS,LENGTH", value_parser = show::range)]
    memory: Vec<(u32, u32)>,
    /// Only the code at a routine, a label or an address, so many instructions: KiSwapContext,10
    #[arg(long, value_name = "PLACE,COUNT", value_parser = show::lines_of_code)]
    code: Vec<(String, u32)>,
    /// Only the stacks of this thread, with every slot named
    #[arg(long, value_name = "THREAD")]
    stack: Vec<String>,
}

#[derive(Args)]
struct WhoOptions {
    /// The case
    case: PathBuf,
    /// The kernel
    #[arg(long, value_parser = kernel_names())]
    kernel: String,
    /// What was written: worker.ETHREAD.ExitStatus, app.EPROCESS
    #[arg(value_name = "NAME.LAYOUT[.FIELD]")]
    target: String,
}

#[derive(Args)]
struct TraceOptions {
    /// The case
    case: PathBuf,
    /// The kernel
    #[arg(long, value_parser = kernel_names())]
    kernel: String,
    /// Only this event, counted from 1; 0 is booting
    #[arg(long, value_name = "N")]
    event: Option<usize>,
    /// Tells what each interrupt called, also of those that did nothing but take time
    #[arg(long)]
    interrupts: bool,
}

#[derive(Args)]
struct GdbOptions {
    /// The case
    case: PathBuf,
    /// The kernel
    #[arg(long, value_parser = kernel_names())]
    kernel: String,
    /// Where to begin: before an event (1 is the first, 0 booting), or so many instructions into it
    #[arg(long, value_name = "EVENT[+N]", default_value = "1", value_parser = gdb::place)]
    at: (usize, u64),
    /// The port, on the loopback interface; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = 1234)]
    port: u16,
    /// The ELF file that tells gdb the names of stubs and native routines; KERNEL.elf here when not
    /// given
    #[arg(long, value_name = "FILE")]
    symbols: Option<PathBuf>,
}

fn kernel_names() -> PossibleValuesParser {
    PossibleValuesParser::new(recorder::kernels::names())
}

/// The program, with the process's arguments, folder and streams.
pub fn main() -> u8 {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let (terminal, colour) = (out.is_terminal() && err.is_terminal(), err.is_terminal());
    let mut messages = Messages::new(&mut out, &mut err, terminal, colour);
    match std::env::current_dir() {
        Ok(here) => with(&here, std::env::args_os().collect(), messages),
        Err(error) => messages.failure(&anyhow::Error::new(error).context("the current folder")),
    }
}

/// The program with these arguments (the first is its own name), in the folder `here`, from which
/// relative paths go, with these streams, none of them a terminal. Gives the exit status.
pub fn main_with(
    here: &Path,
    args: impl IntoIterator<Item = impl Into<OsString>>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    with(here, args.into_iter().map(Into::into).collect(), Messages::new(out, err, false, false))
}

fn with(here: &Path, args: Vec<OsString>, mut messages: Messages) -> u8 {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) if error.use_stderr() => return messages.usage(&error.render()),
        Err(help) => return ended(messages.text(&help.render().to_string()), FINE),
    };
    let result = match options.command.unwrap_or(Command::Run(RunOptions::default())) {
        Command::Run(options) => run::run(here, &options, &mut messages),
        Command::Record(options) => record::run(here, &options, &mut messages),
        Command::Replay { file, kernel } => replay::run(here, &file, kernel.as_deref(), &mut messages),
        Command::Diff { left, right } => diff::run(here, [&left, &right], &mut messages),
        Command::Explain(options) => explain::run(here, &options, &mut messages),
        Command::Minimize(options) => minimize::run(here, &options, &mut messages),
        Command::Show(options) => show::run(here, &options, &mut messages),
        Command::Who(options) => who::run(here, &options, &mut messages),
        Command::Trace(options) => trace::run(here, &options, &mut messages),
        Command::Gdb(options) => gdb::run(here, &options, &mut messages),
        Command::New { name } => new::run(here, &name, &mut messages),
        Command::Verbs => verbs::run(&mut messages),
        Command::Coverage { format } => coverage::run(here, format, &mut messages),
    };
    match result {
        Ok(status) => status,
        Err(error) => messages.failure(&error),
    }
}

/// An event as the heading of what happened in it.
fn heading(number: usize, event: &recorder::EventRecord) -> String {
    match number {
        0 => "event 0: booting".to_owned(),
        _ => format!("event {number}, line {}: {}", event.line, event.text),
    }
}

fn ended(written: std::io::Result<()>, status: u8) -> u8 {
    if written.is_ok() { status } else { BAD }
}

/// The kernel of that name; clap has checked that there is one.
/// That a case has an event of this number.
fn has_event(case: &recorder::Case, event: usize) -> anyhow::Result<()> {
    let last = case.lines.len();
    let events = counted(last, "event");
    anyhow::ensure!(event <= last, "{} has {events}; there is no event {event}", case.name);
    Ok(())
}

fn kernel(name: &str) -> anyhow::Result<&'static dyn contract::Kernel> {
    recorder::kernels::by_name(name).ok_or_else(|| anyhow::anyhow!("no kernel is named {name}"))
}

/// The case in a file. Its name is the file's, wherever that lies, so that a recording does not tell
/// from where it was made.
fn case(here: &Path, path: &Path) -> anyhow::Result<(recorder::Case, String)> {
    anyhow::ensure!(!here.join(path).is_dir(), "{} is a folder; name one case", path.display());
    let mut source = crate::corpus::find(&[path.to_owned()], here)?.remove(0);
    if let Some((_, stem)) = source.name.rsplit_once('/') {
        source.name = stem.to_owned();
    }
    Ok((source.read()?, source.shown))
}
