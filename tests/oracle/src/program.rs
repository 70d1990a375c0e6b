//! Programs: short sequences of instructions with branches among them, that end with their first
//! exception, most often the INT3 behind the last instruction.

use crate::emulated::{Cut, Traced, Whole};
use crate::form::{excluded, of_the_time};
use crate::intel::goes_on_otherwise;
use crate::{CODE, State, entry};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter};

/// A piece of a program, addressed by its place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An instruction as it is.
    Plain(Vec<u8>),
    /// A branch to another part: its opcode, and whether the distance is a byte.
    Branch {
        /// Prefixes and opcode.
        opcode: Vec<u8>,
        /// Whether the distance is a byte, and not the operand size.
        short: bool,
        /// The part to go to; the one behind the last is the end.
        target: usize,
    },
    /// A store into the code: everything before the address, then what to store.
    Patch {
        /// Prefixes, opcode and ModRM.
        opcode: Vec<u8>,
        /// The part to write to.
        target: usize,
        /// How far behind its first byte.
        skip: u32,
        /// The bytes to write.
        value: Vec<u8>,
    },
}

/// A program and the state that it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The parts in their order.
    pub parts: Vec<Part>,
    /// Where it starts from; EIP is the first part's.
    pub start: State,
}

/// A program as it lies in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The code page.
    pub page: Vec<u8>,
    /// The state that it starts from.
    pub start: State,
}

const INT3: u8 = 0xCC;

impl Program {
    fn wide(&self) -> bool {
        entry(self.start.selectors[1]).is_none_or(|entry| entry.wide)
    }

    /// Offset in the code page of each part, and of the end.
    fn places(&self) -> Vec<u32> {
        let base = entry(self.start.selectors[1]).map_or(0, |entry| entry.base);
        let mut at = base.wrapping_add(self.start.eip).wrapping_sub(CODE);
        let mut places = vec![at];
        for part in &self.parts {
            at += part.len(self.wide());
            places.push(at);
        }
        places
    }

    /// The program in memory, with INT3 wherever there is nothing else. What does not end in the page
    /// is not there.
    pub fn scene(&self) -> Scene {
        let mut page = vec![INT3; 0x1000];
        let places = self.places();
        for (index, part) in self.parts.iter().enumerate() {
            for (byte, at) in
                part.bytes(&places, index, self.wide()).into_iter().zip(places[index] as usize..)
            {
                if let Some(place) = page.get_mut(at) {
                    *place = byte;
                }
            }
        }
        Scene { page, start: self.start.clone() }
    }

    /// The program without one of its parts: what went there goes to the next one.
    pub fn without(&self, index: usize) -> Program {
        let mut shorter = self.clone();
        shorter.parts.remove(index);
        for part in &mut shorter.parts {
            if let Part::Branch { target, .. } | Part::Patch { target, .. } = part {
                *target -= usize::from(*target > index);
            }
        }
        shorter
    }

    /// One line a part: address, bytes, instruction.
    pub fn listing(&self) -> String {
        let (places, scene) = (self.places(), self.scene());
        let base = entry(self.start.selectors[1]).map_or(0, |entry| entry.base);
        let mut text = String::new();
        for two in places.windows(2) {
            let (from, to) = (two[0] as usize, (two[1] as usize).min(scene.page.len()));
            let bytes = scene.page.get(from..to).unwrap_or_default();
            let eip = CODE.wrapping_add(two[0]).wrapping_sub(base);
            let bits = if self.wide() { 32 } else { 16 };
            let options = DecoderOptions::NO_INVALID_CHECK;
            let instruction = Decoder::with_ip(bits, bytes, eip.into(), options).decode();
            let mut line = String::new();
            NasmFormatter::new().format(&instruction, &mut line);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            text += &format!("    {:08X}  {hex:24} {line}\n", CODE + two[0]);
        }
        text
    }
}

impl Part {
    fn len(&self, wide: bool) -> u32 {
        let len = match self {
            Part::Plain(bytes) => bytes.len(),
            Part::Branch { opcode, short: true, .. } => opcode.len() + 1,
            Part::Branch { opcode, .. } => opcode.len() + if wide { 4 } else { 2 },
            Part::Patch { opcode, value, .. } => opcode.len() + 4 + value.len(),
        };
        len as u32
    }

    fn bytes(&self, places: &[u32], index: usize, wide: bool) -> Vec<u8> {
        let mut bytes = match self {
            Part::Plain(bytes) => bytes.clone(),
            Part::Branch { opcode, .. } | Part::Patch { opcode, .. } => opcode.clone(),
        };
        match self {
            Part::Plain(_) => {}
            Part::Branch { target, .. } => {
                let distance = places[*target].wrapping_sub(places[index + 1]).to_le_bytes();
                let rest = self.len(wide) as usize - bytes.len();
                bytes.extend(&distance[..rest]);
            }
            Part::Patch { target, skip, value, .. } => {
                bytes.extend((CODE + places[*target] + skip).to_le_bytes());
                bytes.extend(value);
            }
        }
        bytes
    }
}

impl Scene {
    /// Ends the program before the first instruction that depends on something undefined or is not to
    /// be judged, with an INT3 in its place, and again until there is none.
    ///
    /// # Errors
    /// Why there is nothing to compare.
    pub fn settle(&mut self, machine: &mut Whole) -> Result<Traced, String> {
        for _ in 0..8 {
            match machine.trace(self) {
                Ok(traced) => return Ok(traced),
                Err(Cut::At(at)) => match self.page.get_mut(at.wrapping_sub(CODE) as usize) {
                    Some(byte) => *byte = INT3,
                    None => return Err("it leaves the code page for what is not to be judged".into()),
                },
                Err(Cut::Stopped(why)) => return Err(format!("the machine stops: {why}")),
                Err(Cut::Itself) => {
                    return Err(
                        "a repeated instruction overwrites itself, which AMD's processors notice late".into(),
                    );
                }
                Err(Cut::Foreign) => return Err("it reaches what belongs to a judge".into()),
                Err(Cut::Endless) => return Err("it does not end".into()),
            }
        }
        Err("it makes itself anew what is not to be judged".into())
    }
}

/// Whether an instruction that a program comes to can be judged. Its own and the processor's properties
/// are excluded as among single instructions; besides, what stores the x87's pointers to the last
/// instruction, which a task switch of the system between two instructions may lose.
pub(crate) fn judged(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    if instruction.is_invalid() {
        return true;
    }
    let stores = matches!(
        instruction.mnemonic(),
        M::Fxsave | M::Fxrstor | M::Fnsave | M::Frstor | M::Fnstenv | M::Fldenv
    );
    // AMD's processors let it pass, so that the program goes on.
    let locked = instruction.has_lock_prefix() && matches!(instruction.mnemonic(), M::Verr | M::Verw);
    // A REP prefix is reserved there; AMD's processors take the condition from it.
    let repeated = (instruction.has_rep_prefix() || instruction.has_repne_prefix())
        && matches!(instruction.mnemonic(), M::Loope | M::Loopne);
    let system = matches!(instruction.mnemonic(), M::Int if instruction.immediate8() == 0x80);
    of_the_time(instruction)
        && excluded(instruction.code()).is_none()
        && !stores
        && !system
        && !locked
        && !repeated
        && !goes_on_otherwise(instruction)
}
