//! Looking: registers and stacks, as text that holds no address.

use super::error::RecordError;
use super::run::{Run, unavailable};
use crate::case::{Event, Line, Value};
use crate::verbs::{Deed, How};
use contract::{Kernel, Outcome, program};
use machine::{Cpu, Machine, PAGE, Reg, Seg, Va};

/// TEB.StackBase, StackLimit, Self and ProcessEnvironmentBlock: offsets in FS that programs know.
const STACK_BASE: u32 = 0x04;
const STACK_LIMIT: u32 = 0x08;
const SELF: u32 = 0x18;
const PEB: u32 = 0x30;
/// TEB.LastErrorValue.
const LAST_ERROR: u32 = 0x34;
/// TEB.ClientId and TEB.DeallocationStack.
const PROCESS_ID: u32 = 0x20;
const DEALLOCATION_STACK: u32 = 0xE0C;
/// Words of the stack that a look at the first instruction shows.
const WORDS: u32 = 6;

impl Run {
    /// Ring 3 was just entered: keeps what its first instruction finds, once for each thread.
    pub(super) fn entered(&mut self) {
        let m = &self.motor.m;
        let current = self.kernel.current(m);
        if self.watched.get(&current).is_none_or(|watched| watched.first.is_none()) {
            let values = first_values(self.kernel, m);
            self.watched.entry(current).or_default().first = Some(values);
        }
    }

    /// `look first-instruction`.
    pub(super) fn first_instruction(&self, event: &Event) -> Outcome {
        let Value::Name(name) = event.value("thread") else { unreachable!("a thread is a name") };
        let Some((id, _)) = self.objects.get(name) else { return unavailable("never created") };
        match self.watched.get(id).and_then(|watched| watched.first.clone()) {
            Some(values) => Outcome::Seen { values },
            None => unavailable("never in ring 3"),
        }
    }

    /// `look registers`.
    pub(super) fn registers(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let Value::Name(name) = line.event.value("thread").clone() else {
            unreachable!("a thread is a name")
        };
        Ok(match self.bring(line, &name)? {
            Err(why) => why,
            Ok(_) => {
                let cpu = &self.motor.m.cpu;
                let mut values = selectors(cpu);
                values.push(("eflags".to_owned(), flags_text(cpu.eflags)));
                for index in [0, 1, 2, 3, 6, 7] {
                    values.push((format!("dr{index}"), format!("{:08X}", cpu.dr[index])));
                }
                Outcome::Seen { values }
            }
        })
    }

    /// `look teb` and `look stack`.
    pub(super) fn teb(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let Value::Name(name) = line.event.value("thread").clone() else {
            unreachable!("a thread is a name")
        };
        if let Err(why) = self.bring(line, &name)? {
            return Ok(why);
        }
        let m = &self.motor.m;
        let teb = m.cpu.seg(Seg::Fs).base;
        let field = |offset| read(m, Va(teb).add(offset)).unwrap_or(0);
        let (base, limit) = (field(STACK_BASE), field(STACK_LIMIT));
        let values = match line.event.verb.how {
            How::Recorder(Deed::Stack) => vec![
                ("committed", format!("{:X}", base.wrapping_sub(limit))),
                ("reserved", format!("{:X}", base.wrapping_sub(field(DEALLOCATION_STACK)))),
            ],
            _ => vec![
                ("process-id", field(PROCESS_ID).to_string()),
                ("thread-id", field(PROCESS_ID + 4).to_string()),
                ("teb", format!("{teb:08X}")),
                ("peb", format!("{:08X}", field(PEB))),
            ],
        };
        if let Some(bound) = &line.event.result {
            self.values.insert(bound.clone(), limit);
        }
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(Outcome::Seen { values: values.collect() })
    }

    /// The current thread's LastErrorValue.
    pub(super) fn last_error(&self) -> String {
        let m = &self.motor.m;
        let at = Va(m.cpu.seg(Seg::Fs).base).add(LAST_ERROR);
        read(m, at).map_or("none".to_owned(), |error| error.to_string())
    }

    /// A code address as its symbol; a small number as itself; any other value as `pointer`, when it
    /// points to memory that is there.
    pub(super) fn place_text(&self, value: u32) -> String {
        word_text(self.kernel, &self.motor.m, value, None)
    }
}

/// A selector: four digits.
pub(super) fn selector_text(value: u32) -> String {
    format!("{:04X}", value & 0xFFFF)
}

/// EFLAGS without those that arithmetic leaves behind, which are chance at a place like `park`.
pub(super) fn flags_text(value: u32) -> String {
    use machine::registers::flags::{AF, CF, OF, PF, SF, ZF};
    format!("{:08X}", value & !(AF | CF | OF | PF | SF | ZF))
}

fn selectors(cpu: &Cpu) -> Vec<(String, String)> {
    let names = [
        ("cs", Seg::Cs),
        ("ss", Seg::Ss),
        ("ds", Seg::Ds),
        ("es", Seg::Es),
        ("fs", Seg::Fs),
        ("gs", Seg::Gs),
    ];
    let text = |(name, seg): (&str, Seg)| (name.to_owned(), selector_text(cpu.seg(seg).selector.into()));
    names.into_iter().map(text).collect()
}

/// Where a thread's stack and its TEB and PEB lie, as the TEB says.
struct Whereabouts {
    stack: Option<(u32, u32)>,
    teb: Option<u32>,
    peb: Option<u32>,
}

fn whereabouts(m: &Machine) -> Whereabouts {
    let teb = m.cpu.seg(Seg::Fs).base;
    let field = |offset| read(m, Va(teb).add(offset)).filter(|value| *value != 0);
    Whereabouts { stack: field(STACK_LIMIT).zip(field(STACK_BASE)), teb: field(SELF), peb: field(PEB) }
}

fn read(m: &Machine, at: Va) -> Option<u32> {
    let mut raw = [0; 4];
    m.peek(m.cpu.cr3, at, &mut raw).ok()?;
    Some(u32::from_le_bytes(raw))
}

/// What the first instruction in ring 3 finds.
fn first_values(kernel: &dyn Kernel, m: &Machine) -> Vec<(String, String)> {
    let known = whereabouts(m);
    let text = |value| word_text(kernel, m, value, Some(&known));
    let mut values = vec![("eip".to_owned(), text(m.cpu.eip))];
    let registers = [
        ("eax", Reg::Eax),
        ("ebx", Reg::Ebx),
        ("ecx", Reg::Ecx),
        ("edx", Reg::Edx),
        ("esi", Reg::Esi),
        ("edi", Reg::Edi),
        ("ebp", Reg::Ebp),
        ("esp", Reg::Esp),
    ];
    values.extend(registers.map(|(name, reg)| (name.to_owned(), text(m.cpu.reg(reg)))));
    values.push(("eflags".to_owned(), flags_text(m.cpu.eflags)));
    values.extend(selectors(&m.cpu));
    for index in 0..WORDS {
        let word = read(m, Va(m.cpu.esp()).add(4 * index));
        values.push((format!("stack+{:X}", 4 * index), word.map_or("unmapped".to_owned(), text)));
    }
    values
}

/// A doubleword as a person reads it.
fn word_text(kernel: &dyn Kernel, m: &Machine, value: u32, known: Option<&Whereabouts>) -> String {
    if let Some(known) = known {
        if let Some((limit, base)) = known.stack
            && (limit..=base).contains(&value)
        {
            return if value == base {
                "StackBase".to_owned()
            } else {
                format!("StackBase-{:X}", base - value)
            };
        }
        if Some(value) == known.teb {
            return "TEB".to_owned();
        }
        if Some(value) == known.peb {
            return "PEB".to_owned();
        }
    }
    // Below 64 KB nothing is mapped; from there to 1003F a value is ContextFlags far more often than the
    // address of a stack's reserved end.
    if value < 0x1_0040 {
        return format!("{value:08X}");
    }
    match symbol(kernel, Va(value)) {
        Some(symbol) => symbol,
        None if read(m, Va(value)).is_some() => "pointer".to_owned(),
        None => format!("{value:08X}"),
    }
}

/// An address as a person reads it, if something near it has a name: in the program, in the code of
/// the kernel and of the system DLLs, or a native routine and its stage.
pub fn symbol(kernel: &dyn Kernel, at: Va) -> Option<String> {
    let value = at.0;
    let offset = value.wrapping_sub(program::CODE.0);
    if offset < PAGE {
        let symbols = program::code().symbols.iter().rev();
        let (name, at) = symbols.filter(|(_, at)| at.0 <= value).max_by_key(|(_, at)| at.0)?;
        return Some(match value - at.0 {
            0 => (*name).to_owned(),
            offset => format!("{name}+{offset:X}"),
        });
    }
    if value == program::BASE.0 {
        return Some("image base".to_owned());
    }
    let text = kernel.image().symbolize(Va(value));
    (text != Va(value).to_string()).then_some(text)
}
