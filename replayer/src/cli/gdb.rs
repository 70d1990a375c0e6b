//! `tandem gdb`: a debugger on either side.

use super::{FINE, GdbOptions, case, has_event, kernel, messages::Messages};
use crate::corpus::show;
use crate::gdb::timeline::Timeline;
use crate::gdb::{serve, symbols};
use crate::words::counted;
use anyhow::{Context, ensure};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// A file of symbols is far shorter than this.
const LONGEST: u64 = 1 << 20;

pub(super) fn run(here: &Path, options: &GdbOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let last = case.lines.len();
    let (event, instructions) = options.at;
    has_event(&case, event)?;
    let recording = recorder::record(&case, kernel).context(shown)?;
    let mut line = Timeline::new(&recording, kernel)?;
    line.seek_instant(event, instructions)?;

    let file = options.symbols.clone().unwrap_or_else(|| format!("{}.elf", kernel.name()).into());
    write_symbols(&here.join(&file), &symbols::file(kernel).context("symbols")?)
        .with_context(|| show(&file))?;
    // Whoever reaches the port sees the machine: it is bound to this computer.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).with_context(|| {
        format!("port {} cannot be had; choose another with --port, or 0 for any", options.port)
    })?;
    let port = listener.local_addr()?.port();
    let (name, on, file) = (&case.name, kernel.name(), show(&file));
    messages.text(&format!(
        "{name} on {on}, {}. Its symbols are in {file}; now start\n\
         \x20   gdb -q {file} -ex 'target remote 127.0.0.1:{port}'\n",
        counted(last, "event")
    ))?;
    let (connection, _) = listener.accept()?;
    connection.set_nodelay(true)?;
    serve(line, connection)?;
    Ok(FINE)
}

/// Writes the file, over an earlier one of its kind and over nothing else.
fn write_symbols(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Ok(file) = std::fs::File::open(path) {
        let mut old = Vec::new();
        file.take(LONGEST).read_to_end(&mut old)?;
        let ours = old.starts_with(b"\x7FELF")
            && old.windows(symbols::MARK.len()).any(|part| part == symbols::MARK.as_bytes());
        ensure!(ours, "is there already, and is no file of symbols; name another with --symbols");
    }
    Ok(std::fs::write(path, bytes)?)
}

/// `EVENT` or `EVENT+N`: the event, and instructions into it.
pub(super) fn place(text: &str) -> Result<(usize, u64), String> {
    let (event, instructions) = text.split_once('+').unwrap_or((text, "0"));
    let wrong = |_| "EVENT or EVENT+N, two numbers: 4, 4+120".to_owned();
    Ok((event.parse().map_err(wrong)?, instructions.parse().map_err(wrong)?))
}
