//! Writing a recording, an event at a time.

use super::changed::Changed;
use super::chunk::{END, EVENT, FULL, HEAD, Scratch};
use super::file::{FULL_EVERY, MAGIC, VERSION};
pub(crate) use super::outgoing::Head;
use super::outgoing::{Difference, Event, Full, Gap, Space};
use super::wire::{WireEnd, mentioned};
use super::{EventRecord, Header};
use crate::deflate;
use crate::pack::Packer;
use machine::Memory;
use std::io::{self, Write};

/// The chunk of booting, packed by itself.
pub(crate) fn boot_chunk(boot: &EventRecord, routines: &[String]) -> Vec<u8> {
    let known = mentioned(0, boot).min(routines.len());
    let empty = Memory::new(boot.machine.memory.pages());
    let mut space = Space::default();
    let event = Event::new(boot, &empty, Gap::Long, &routines[..known], &mut space);
    Scratch::default().chunk(EVENT, &event, deflate::pack).to_vec()
}

/// A recording that is being written. What it has been given stands in its output, so that a program
/// that is killed leaves a recording that is merely torn.
pub struct Writer<W: Write> {
    out: W,
    /// Memory after booting, and after the last event.
    boot: Memory,
    older: Memory,
    events: usize,
    /// How many routines have been mentioned.
    known: usize,
    packer: Packer,
    scratch: Scratch,
    space: Space,
}

impl<W: Write> Writer<W> {
    /// Writes the header and booting. `events` is how many events will follow.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn start(out: W, header: &Header, events: u32, boot: &EventRecord) -> io::Result<Writer<W>> {
        let Header { kernel, case, digest, text, detail, routines } = header;
        let head = Head { kernel, case, digest: *digest, text, detail: *detail, events };
        Writer::start_with(out, &head, boot, routines, &boot_chunk(boot, routines))
    }

    /// As [`Writer::start`], with booting's chunk, which is the same for every recording of a kernel.
    pub(crate) fn start_with(
        mut out: W,
        head: &Head,
        boot: &EventRecord,
        routines: &[String],
        chunk_of_boot: &[u8],
    ) -> io::Result<Writer<W>> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let (mut packer, mut scratch) = (Packer::new(), Scratch::default());
        out.write_all(scratch.chunk(HEAD, head, packer.behind()))?;
        let known = mentioned(0, boot).min(routines.len());
        out.write_all(chunk_of_boot)?;
        out.flush()?;
        let memory = &boot.machine.memory;
        let (boot, older) = (memory.clone(), memory.clone());
        Ok(Writer { out, boot, older, events: 0, known, packer, scratch, space: Space::default() })
    }

    /// Writes an event. `routines` are those that traces have mentioned up to now, this one's included.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn event(&mut self, event: EventRecord, routines: &[String]) -> io::Result<()> {
        self.put(&event, routines)?;
        self.older = event.machine.memory;
        self.out.flush()
    }

    /// Follows the memory of the machine that goes on from booting, for [`Writer::event_of`].
    pub(crate) fn follow(&mut self, memory: &mut Memory) {
        debug_assert!(self.older == *memory, "it has not run yet");
        self.older.catch_up(memory);
    }

    /// As [`Writer::event`], with an event in which the machine itself is, which will run on. It costs what
    /// the event wrote, while the writer [follows](Writer::follow) the machine's memory.
    ///
    /// # Errors
    /// What the output fails with.
    pub(crate) fn event_of(&mut self, event: &mut EventRecord, routines: &[String]) -> io::Result<()> {
        self.put(event, routines)?;
        self.older.catch_up_on(&mut event.machine.memory, &self.space.changed.looked_at);
        self.out.flush()
    }

    fn put(&mut self, event: &EventRecord, routines: &[String]) -> io::Result<()> {
        let now = mentioned(self.known, event).min(routines.len());
        let added = routines.get(self.known..now).unwrap_or_default();
        let wire = Event::new(event, &self.older, Gap::Short, added, &mut self.space);
        self.out.write_all(self.scratch.chunk(EVENT, &wire, self.packer.behind()))?;
        self.known = now;
        self.events += 1;
        if self.events.is_multiple_of(FULL_EVERY) {
            let mut changed = Changed::default();
            let machine = Difference::new(&event.machine, &self.boot, Gap::Short, &mut changed);
            let full = Full { routines: &routines[..now], machine };
            self.packer.restart();
            self.out.write_all(self.scratch.chunk(FULL, &full, self.packer.behind()))?;
        }
        Ok(())
    }

    /// Writes the end, and gives the output back. `routines` are all that the recording names.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn finish(mut self, routines: &[String]) -> io::Result<W> {
        let rest = routines.get(self.known..).unwrap_or_default().to_vec();
        self.out.write_all(self.scratch.chunk(END, &WireEnd { routines: rest }, self.packer.behind()))?;
        self.out.flush()?;
        Ok(self.out)
    }
}
