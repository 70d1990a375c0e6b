//! A recording's file, opened to find any of its events without reading the others.
//!
//! Opening reads the fronts of the chunks. An event is reached from the last full copy before it, over
//! at most thirty-one events; the last event that was reached is kept, so that going on costs one.

use super::chunk::{self, END, EVENT, FRAME, FULL, HEAD, damaged};
use super::file::{FULL_EVERY, ReadError, Torn, check_start};
use super::wire::{WireEvent, WireFull, WireHeader};
use super::{EventRecord, Header};
use crate::deflate;
use crate::pack::Unpacker;
use machine::Machine;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Events that an archive has at most.
const EVENTS_MAX: usize = 1 << 24;

/// A recording's file, open.
pub struct Archive {
    path: PathBuf,
    file: File,
    /// What was run on what, with the routines that were mentioned as far as it was read.
    header: Header,
    boot: EventRecord,
    /// Ready for the first event's chunk.
    start: Unpacker,
    /// Where each event's chunk lies.
    events: Vec<u64>,
    /// Where the full copies lie: one for every thirty-two events.
    copies: Vec<u64>,
    /// Where the end lies, if the file has one.
    end: Option<u64>,
    /// The end of the file.
    length: u64,
    torn: Option<Torn>,
    /// How many routines' names are known once the kernel has booted.
    booted: usize,
    /// Where the last seek led.
    last: Option<Place>,
}

/// The end of an event.
struct Place {
    /// Counted from 1; 0 is booting.
    event: usize,
    machine: Machine,
    /// How many routines' names are known there.
    routines: usize,
    /// Ready for the next event's chunk.
    unpacker: Unpacker,
}

impl Archive {
    /// Opens a recording.
    ///
    /// # Errors
    /// [`ReadError`]; a file that is merely torn is no error.
    pub fn open(path: &Path) -> Result<Archive, ReadError> {
        let io = |cause| ReadError::Io { path: path.to_owned(), cause };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut start = Vec::new();
        (&mut file).take(12).read_to_end(&mut start).map_err(io)?;
        check_start(&start)?;
        let mut found: Vec<(u64, [u8; 4])> = Vec::new();
        let mut at = 12;
        let mut reader = BufReader::new(&file);
        while at < length && found.len() <= 2 + EVENTS_MAX + EVENTS_MAX / FULL_EVERY {
            let mut front = [0; FRAME];
            if length - at < FRAME as u64 {
                break;
            }
            reader.read_exact(&mut front).map_err(io)?;
            let front = chunk::front(at, &front)?;
            if length - at - (FRAME as u64) < front.length as u64 {
                break;
            }
            found.push((at, front.tag));
            reader.seek_relative(front.length as i64).map_err(io)?;
            at += (FRAME + front.length) as u64;
            if front.tag == END {
                break;
            }
        }
        let tear = at;
        let mut chunks = found.into_iter();
        let mut take = || chunks.next().ok_or(ReadError::TornHeader { at: tear });
        let (head, boot) = (take()?, take()?);
        let mut archive = Archive {
            path: path.to_owned(),
            file,
            header: Header {
                kernel: String::new(),
                case: String::new(),
                digest: 0,
                text: String::new(),
                detail: false,
                routines: Vec::new(),
            },
            // Replaced below; an archive is not given away before.
            boot: EventRecord::nothing(),
            start: Unpacker::new(),
            events: Vec::new(),
            copies: Vec::new(),
            end: None,
            length,
            torn: None,
            booted: 0,
            last: None,
        };
        let mut start = Unpacker::new();
        let WireHeader { kernel, case, digest, text, detail, events: of } =
            archive.chunk(head.0, HEAD, start.behind())?;
        archive.start = start;
        archive.header = Header { kernel, case, digest, text, detail, routines: Vec::new() };
        let wire: WireEvent = archive.chunk(boot.0, EVENT, deflate::unpack)?;
        archive.boot = wire.read(&mut archive.header.routines, None).map_err(|what| damaged(boot.0, what))?;
        archive.booted = archive.header.routines.len();
        archive.index(chunks, of as usize, tear)?;
        Ok(archive)
    }

    /// Sorts the chunks behind the first two, and checks that they stand in their order.
    fn index(
        &mut self,
        chunks: impl Iterator<Item = (u64, [u8; 4])>,
        of: usize,
        tear: u64,
    ) -> Result<(), ReadError> {
        for (at, tag) in chunks {
            let full = self.events.len() / FULL_EVERY > self.copies.len();
            let in_order = match tag {
                FULL => full,
                EVENT => !full && self.events.len() < of,
                END => !full && self.events.len() == of,
                _ => false,
            };
            if !in_order {
                let tag = String::from_utf8_lossy(&tag).into_owned();
                return Err(damaged(at, format!("a chunk `{tag}` where it cannot be")));
            }
            match tag {
                FULL => self.copies.push(at),
                EVENT => self.events.push(at),
                _ => self.end = Some(at),
            }
        }
        match self.end {
            Some(_) if tear != self.length => Err(damaged(tear, "bytes stand behind the end")),
            Some(_) => Ok(()),
            None => {
                self.torn = Some(Torn { at: tear, events: self.events.len(), of });
                Ok(())
            }
        }
    }

    fn chunk<T: serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
        at: u64,
        tag: [u8; 4],
        unpack: impl FnOnce(&[u8], usize) -> Result<Vec<u8>, String>,
    ) -> Result<T, ReadError> {
        let path = self.path.clone();
        let io = |cause| ReadError::Io { path: path.clone(), cause };
        let mut front = [0; FRAME];
        self.file.seek(SeekFrom::Start(at)).map_err(io)?;
        self.file.read_exact(&mut front).map_err(io)?;
        let front = chunk::front(at, &front)?;
        front.expect(at, tag)?;
        // Not more than the file was found to have.
        if front.length as u64 > self.length.saturating_sub(at) {
            return Err(damaged(at, "the file has changed"));
        }
        let mut content = vec![0; front.length];
        self.file.read_exact(&mut content).map_err(io)?;
        front.value(at, &content, unpack)
    }

    /// What was run on what. Its routines are those that were mentioned up to the last event that was
    /// reached.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Booting.
    pub fn boot(&self) -> &EventRecord {
        &self.boot
    }

    /// How many whole events there are.
    pub fn events(&self) -> usize {
        self.events.len()
    }

    /// Where the file ends too early, if it does.
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// The bytes of the file, and those of each event's chunk without full copies.
    pub fn sizes(&self) -> (u64, Vec<u64>) {
        let mut places: Vec<u64> = self.events.iter().chain(&self.copies).chain(&self.end).copied().collect();
        places.push(self.torn.as_ref().map_or(self.length, |torn| torn.at));
        places.sort_unstable();
        let next = |at: &u64| places[places.partition_point(|place| place <= at)];
        (self.length, self.events.iter().map(|at| next(at) - at).collect())
    }

    /// The events after which a full copy of the machine stands in the file, counted from 1.
    pub fn checkpoints(&self) -> Vec<usize> {
        (1..=self.copies.len()).map(|index| index * FULL_EVERY).collect()
    }

    /// The machine that a checkpoint holds (0: booting). None where there is no checkpoint.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn checkpoint(&mut self, event: usize) -> Result<Option<Machine>, ReadError> {
        if !event.is_multiple_of(FULL_EVERY) || event / FULL_EVERY > self.copies.len() {
            return Ok(None);
        }
        Ok(Some(self.place(event / FULL_EVERY)?.machine))
    }

    /// Where a full copy stands, counted from 1; 0 is booting.
    fn place(&mut self, copy: usize) -> Result<Place, ReadError> {
        let event = copy * FULL_EVERY;
        if copy == 0 {
            let machine = self.boot.machine.clone();
            return Ok(Place { event, machine, routines: self.booted, unpacker: self.start.clone() });
        }
        let at = self.copies[copy - 1];
        let mut unpacker = Unpacker::new();
        let WireFull { routines, machine } = self.chunk(at, FULL, unpacker.behind())?;
        let machine = machine.apply(Some(&self.boot.machine.memory)).map_err(|what| damaged(at, what))?;
        let place = Place { event, machine, routines: routines.len(), unpacker };
        self.learn(routines);
        Ok(place)
    }

    /// Takes names of routines: those that are known at any event are the first of those that are known
    /// later.
    fn learn(&mut self, routines: Vec<String>) {
        if routines.len() > self.header.routines.len() {
            self.header.routines = routines;
        }
    }

    /// Goes to where an event has ended.
    fn reach(&mut self, event: usize) -> Result<Place, ReadError> {
        let copy = (event / FULL_EVERY).min(self.copies.len());
        let mut place = match self.last.take() {
            // Behind a full copy a new stream begins.
            Some(last) if (copy * FULL_EVERY + 1..=event).contains(&last.event) => last,
            _ => self.place(copy)?,
        };
        while place.event < event {
            let wire = self.next(&mut place)?;
            place.machine = wire.machine(&place.machine).map_err(|what| self.at(place.event, what))?;
        }
        Ok(place)
    }

    /// Reads the event behind a place, up to its machine.
    fn next(&mut self, place: &mut Place) -> Result<WireEvent, ReadError> {
        let at = self.events[place.event];
        let wire: WireEvent = self.chunk(at, EVENT, place.unpacker.behind())?;
        place.routines = self.name(place.routines, wire.routines());
        place.event += 1;
        Ok(wire)
    }

    /// Something is wrong with an event's chunk.
    fn at(&self, event: usize, what: String) -> ReadError {
        damaged(self.events[event - 1], what)
    }

    /// Takes the names that an event adds to so many; how many are known then.
    fn name(&mut self, known: usize, added: &[String]) -> usize {
        if known + added.len() > self.header.routines.len() {
            let mut routines = self.header.routines.clone();
            routines.truncate(known);
            routines.extend_from_slice(added);
            self.learn(routines);
        }
        known + added.len()
    }

    /// The machine after an event, counted from 1; 0 is booting. None behind the last event.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn machine_after(&mut self, event: usize) -> Result<Option<Machine>, ReadError> {
        if event > self.events.len() {
            return Ok(None);
        }
        let place = self.reach(event)?;
        let machine = place.machine.clone();
        self.last = Some(place);
        Ok(Some(machine))
    }

    /// An event, counted from 1; 0 is booting. None behind the last.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn event(&mut self, event: usize) -> Result<Option<EventRecord>, ReadError> {
        let Some(index) = event.checked_sub(1) else { return Ok(Some(self.boot.clone())) };
        if index >= self.events.len() {
            return Ok(None);
        }
        let mut place = self.reach(index)?;
        if index.is_multiple_of(FULL_EVERY) && index > 0 && index / FULL_EVERY <= self.copies.len() {
            // It was reached from before; behind a full copy a new stream begins.
            place = self.place(index / FULL_EVERY)?;
        }
        let known = place.routines;
        let wire = self.next(&mut place)?;
        let mut routines = self.header.routines[..known].to_vec();
        let record = wire.read(&mut routines, Some(&place.machine));
        let record = record.map_err(|what| self.at(event, what))?;
        place.machine = record.machine.clone();
        self.last = Some(place);
        Ok(Some(record))
    }
}
