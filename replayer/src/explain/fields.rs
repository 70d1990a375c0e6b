//! Fields by name: those of a layout, and those in which two machines of one kernel differ, as in
//! `worker ETHREAD.CrossThreadFlags 00000000 -> 00000001 Terminated`.
//!
//! Only structures that live are compared; what a kernel keeps beside them, and its stacks, are told
//! by traces and stack walks.

use super::{Names, values};
use contract::{FlagNames, Kernel, LayoutInfo, Named, ObjectId, Status};
use guest::FieldInfo;
use machine::{Machine, Va};
use std::cell::OnceCell;
use std::fmt;

/// A field that holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its NT name, with those of the fields that hold it: `Tcb.ApcState.KernelApcPending`.
    pub path: String,
    /// Bytes from the structure's start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// The names of its values, where it holds an enumeration.
    pub names: &'static [(u32, &'static str)],
    /// The names of its bits, where they have names.
    pub bits: &'static [(u32, &'static str)],
}

/// A field that differs between two machines, or a structure that only one of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The structure's name: `worker`.
    pub name: String,
    /// Its layout: `ETHREAD`.
    pub layout: &'static str,
    /// The object.
    pub id: ObjectId,
    /// What changed.
    pub what: Change,
}

/// What changed of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the later machine has it.
    Created,
    /// Only the earlier machine has it.
    Gone,
    /// A field has another value.
    Value {
        /// The field.
        field: Field,
        /// Its bytes in the earlier machine; none where they are not mapped.
        old: Option<Vec<u8>>,
        /// Its bytes in the later machine; none where they are not mapped.
        new: Option<Vec<u8>>,
        /// Both as a person reads them: `00000000`, `00000001 Terminated`.
        text: (String, String),
    },
}

impl FieldChange {
    /// Whether it tells of nothing but the passing of time slices: counts of context switches and
    /// processor time, and what is left of a quantum.
    pub fn is_scheduling(&self) -> bool {
        const PASSING: [&str; 6] =
            ["ContextSwitches", "Quantum", "KernelTime", "UserTime", "WaitTime", "QuantumReset"];
        match &self.what {
            Change::Value { field, .. } => {
                let last = field.path.rsplit('.').next().unwrap_or_default();
                PASSING.contains(&last)
            }
            _ => false,
        }
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let FieldChange { name, layout, .. } = self;
        match &self.what {
            Change::Created => write!(f, "{name} {layout} created"),
            Change::Gone => write!(f, "{name} {layout} deleted"),
            Change::Value { field, text: (old, new), .. } => {
                write!(f, "{name} {layout}.{} {old} -> {new}", field.path)
            }
        }
    }
}

/// What differs from `here` to `there`, by structure and field, in the order of the layouts.
pub fn differing(
    kernel: &'static dyn Kernel,
    named: &[Named],
    here: &Machine,
    there: &Machine,
) -> Vec<FieldChange> {
    let before = Names::new(kernel, here, named);
    let after = Names::with(before.layouts(), there, named);
    between((&before, here), (&after, there))
}

/// As [`differing`], with both machines' names.
pub fn between((before, here): (&Names, &Machine), (after, there): (&Names, &Machine)) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    for one in &after.structures {
        let change = |what| FieldChange { name: one.name.clone(), layout: one.layout, id: one.id, what };
        if !before.structures.iter().any(|other| other.id == one.id) {
            changes.push(change(Change::Created));
            continue;
        }
        let whole = (value(here, one.id.at, one.size), value(there, one.id.at, one.size));
        if whole.0.is_some() && whole.0 == whole.1 {
            continue;
        }
        let mut told: Vec<(u32, u32)> = Vec::new();
        for field in after.fields(one.layout).unwrap_or_default() {
            let part = |m: &Machine, whole: &Option<Vec<u8>>| {
                let range = field.offset as usize..(field.offset + field.size) as usize;
                let known = whole.as_ref().and_then(|whole| whole.get(range)).map(<[u8]>::to_vec);
                known.or_else(|| value(m, one.id.at.add(field.offset), field.size))
            };
            let (old, new) = (part(here, &whole.0), part(there, &whole.1));
            // A field in a union is told once.
            let within = |(from, to): &(u32, u32)| *from <= field.offset && field.offset + field.size <= *to;
            if old == new || told.iter().any(within) {
                continue;
            }
            told.push((field.offset, field.offset + field.size));
            let text = (shown(before, field, &old, None), shown(after, field, &new, old.as_deref()));
            changes.push(change(Change::Value { field: field.clone(), old, new, text }));
        }
    }
    let gone =
        before.structures.iter().filter(|one| !after.structures.iter().any(|other| other.id == one.id));
    changes.extend(gone.map(|one| FieldChange {
        name: one.name.clone(),
        layout: one.layout,
        id: one.id,
        what: Change::Gone,
    }));
    changes
}

/// The fields of a kernel's layouts, each worked out when it is first asked for: they are the same in all
/// of its machines.
pub struct Layouts {
    kernel: &'static dyn Kernel,
    /// In the order of the kernel's image.
    known: Vec<OnceCell<Vec<Field>>>,
    /// Structures whose places never change, the KPCR and the kernel's variables: their symbols are their
    /// layouts' names.
    fixed: Vec<(u32, LayoutInfo)>,
}

impl Layouts {
    /// Those of a kernel.
    pub fn new(kernel: &'static dyn Kernel) -> Layouts {
        let image = kernel.image();
        let place = |info: &LayoutInfo| {
            let symbol = image.symbols.iter().find(|(_, name)| **name == info.name);
            symbol.map(|(at, _)| (*at, *info))
        };
        let fixed = image.layouts.iter().filter_map(place).collect();
        Layouts { kernel, known: image.layouts.iter().map(|_| OnceCell::new()).collect(), fixed }
    }

    /// What lies at an address in a structure with a fixed place: `KPCR.Irql`. A list that such a structure
    /// begins with is meant rather than the structure.
    pub fn variable(&self, at: u32) -> Option<String> {
        let holds = |(base, info): &&(u32, LayoutInfo)| (*base..*base + info.size).contains(&at);
        let (base, info) = self.fixed.iter().find(holds)?;
        let begins_with = info.fields.first().filter(|first| first.offset == 0 && !first.inner.is_empty());
        Some(match at - base {
            0 if begins_with.is_none() => info.name.to_owned(),
            offset => format!("{}{}", info.name, inside(info.fields, offset)),
        })
    }

    /// Where the structure with a fixed place and this layout lies.
    pub fn place(&self, layout: &str) -> Option<Va> {
        self.fixed.iter().find(|(_, info)| info.name == layout).map(|(base, _)| Va(*base))
    }

    /// What lies at an offset of a structure, to stand behind its name: nothing at its start, else
    /// `.ApcState.Process`, or `.ReadyList+40` behind the last field before.
    pub fn at(&self, layout: &str, offset: u32) -> String {
        let info = self.kernel.image().layouts.iter().find(|info| info.name == layout);
        match offset {
            0 => String::new(),
            _ => info.map_or(format!("+{offset:X}"), |info| inside(info.fields, offset)),
        }
    }

    /// The kernel.
    pub fn kernel(&self) -> &'static dyn Kernel {
        self.kernel
    }

    /// The fields of a layout that hold values, those that share bytes with others last; none when the
    /// kernel has no such layout.
    pub fn fields(&self, layout: &str) -> Option<&[Field]> {
        let image = self.kernel.image();
        let index = image.layouts.iter().position(|info| info.name == layout)?;
        let fields = self.known[index].get_or_init(|| {
            let flags: Vec<&FlagNames> = image.flags.iter().filter(|flags| flags.layout == layout).collect();
            let mut found = Vec::new();
            leaves(image.layouts[index].fields, ("", "", 0), &flags, &mut found);
            found
        });
        Some(fields)
    }
}

/// Where a path begins: its name in code, its name as NT spells it, and its offset.
type Base<'p> = (&'p str, &'p str, u32);

fn leaves(fields: &[FieldInfo], (code, path, base): Base, flags: &[&FlagNames], found: &mut Vec<Field>) {
    let behind = |before: &str, name: &str| match before {
        "" => name.to_owned(),
        before => format!("{before}.{name}"),
    };
    for field in fields {
        let (code, path) = (behind(code, field.name), behind(path, &spelled(field)));
        if field.inner.is_empty() {
            let bits = flags.iter().find(|flags| flags.field == code).map_or(&[][..], |flags| flags.bits);
            let (offset, size, names) = (base + field.offset, field.size, field.names);
            let names = if names.is_empty() { values::names(&path) } else { names };
            found.push(Field { path, offset, size, names, bits });
        } else {
            leaves(field.inner, (&code, &path, base + field.offset), flags, found);
        }
    }
}

/// The field at an offset, or the last one before it and how far behind its start. A pointer to a structure
/// held in place means the structure, not its first field.
fn inside(fields: &[FieldInfo], offset: u32) -> String {
    let over = fields.iter().all(|field| field.offset + field.size <= offset);
    // A field may lie within a union with another one, and end before that does.
    let behind = |field: &&FieldInfo| offset.checked_sub(field.offset).is_some_and(|rest| rest < field.size);
    let holding = fields.iter().filter(behind).map(|field| field.offset).max();
    let before = || {
        let before = fields.iter().filter(|field| field.offset <= offset);
        before.max_by_key(|field| field.offset + field.size).map(|field| field.offset)
    };
    // Of fields that share their start the first, which is the union's.
    let Some(start) = holding.or_else(before) else {
        return format!("+{offset:X}");
    };
    let held = |field: &&FieldInfo| field.offset == start && !field.inner.is_empty();
    let field = fields.iter().find(held).or(fields.iter().find(|field| field.offset == start));
    let (name, rest) = (field.map_or(String::new(), spelled), offset - start);
    match field {
        // Behind the last field that is known lies another one, unless an array's first element is what is known.
        Some(field) if over && field.inner.is_empty() => format!("+{offset:X}"),
        _ if rest == 0 => format!(".{name}"),
        Some(field) if !field.inner.is_empty() && rest < field.size => {
            format!(".{name}{}", inside(field.inner, rest))
        }
        _ => format!(".{name}+{rest:X}"),
    }
}

/// A field's name as NT spells it.
pub fn spelled(field: &FieldInfo) -> String {
    field.nt.map_or_else(|| camel(field.name), str::to_owned)
}

/// A name as NT spells it: `cross_thread_flags` is `CrossThreadFlags`.
pub fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(word).collect()
}

/// The bytes of a field as supervisor code would read them; none where they are not mapped.
pub fn value(m: &Machine, at: Va, size: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    m.peek(m.cpu.cr3, at, &mut bytes).ok()?;
    Some(bytes)
}

/// A field's value as a person reads it: up to eight bytes as a number with all its digits, more as
/// bytes; behind it the name of the value, of its set bits (of those that `before` has not, where it is
/// given) or of what it points to.
pub fn shown(names: &Names, field: &Field, value: &Option<Vec<u8>>, before: Option<&[u8]>) -> String {
    let hex = |bytes: &mut dyn Iterator<Item = &u8>| bytes.map(|byte| format!("{byte:02X}")).collect();
    let Some(bytes) = value else { return "not mapped".to_owned() };
    if bytes.len() > 8 {
        let text = hex(&mut bytes.iter());
        return match words(bytes) {
            Some(words) => format!("{text} \"{words}\""),
            None => text,
        };
    }
    let text: String = hex(&mut bytes.iter().rev());
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) as u32;
    let now = number(bytes);
    let meaning = if !field.names.is_empty() {
        field.names.iter().find(|(value, _)| *value == now).map(|(_, name)| (*name).to_owned())
    } else if !field.bits.is_empty() {
        let old = before.map_or(0, number);
        let mut words: Vec<String> = Vec::new();
        for (bit, name) in field.bits {
            match (old & bit != 0, now & bit != 0) {
                (false, true) => words.push((*name).to_owned()),
                (true, false) => words.push(format!("no {name}")),
                _ => {}
            }
        }
        (!words.is_empty()).then(|| words.join(" "))
    } else if bytes.len() == 4 && holds_status(field) && Status(now) != Status::SUCCESS {
        // Whether 0 is a status or nothing as yet cannot be told.
        Status(now).name().map(str::to_owned)
    } else if bytes.len() == 4 {
        names.meaning(now)
    } else {
        None
    };
    match meaning {
        Some(meaning) => format!("{text} {meaning}"),
        None => text,
    }
}

/// Whether a field holds a status: small ones, as STATUS_KERNEL_APC and STATUS_PENDING, look like numbers
/// anywhere else.
fn holds_status(field: &Field) -> bool {
    field.path.ends_with("Status")
}

/// The text that bytes hold, up to a NUL behind which there is nothing else.
fn words(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let printable = !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let alone = rest.iter().all(|byte| *byte == 0);
    std::str::from_utf8(text).ok().filter(|_| printable && alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[FieldInfo] = &[
        FieldInfo { name: "kind", nt: Some("Type"), offset: 0, size: 1, inner: &[], names: &[] },
        FieldInfo { name: "signal_state", nt: None, offset: 4, size: 4, inner: &[], names: &[] },
    ];
    const THREAD: &[FieldInfo] = &[
        FieldInfo { name: "header", nt: None, offset: 0x10, size: 8, inner: HEADER, names: &[] },
        FieldInfo { name: "state", nt: None, offset: 0x20, size: 1, inner: &[], names: &[(4, "Terminated")] },
    ];

    fn nt() -> Names {
        let kernel = recorder::kernels::by_name("nt").unwrap();
        Names::new(kernel, &kernel.boot().unwrap(), &[])
    }

    #[test]
    fn fields_held_in_place_have_a_path() {
        let mut found = Vec::new();
        let flags = FlagNames { layout: "T", field: "header.signal_state", bits: &[(1, "Set")] };
        leaves(THREAD, ("", "", 0), &[&flags], &mut found);
        let rows: Vec<_> =
            found.iter().map(|field| (field.path.as_str(), field.offset, field.size)).collect();
        assert_eq!(rows, [("Header.Type", 0x10, 1), ("Header.SignalState", 0x14, 4), ("State", 0x20, 1)]);
        assert_eq!(found[1].bits, [(1, "Set")]);
        let named = [0x10, 0x14, 0x16, 0x18, 0x20, 0x2C].map(|offset| inside(THREAD, offset));
        let expected =
            [".Header", ".Header.SignalState", ".Header.SignalState+2", ".Header+8", ".State", "+2C"];
        assert_eq!(named, expected);
        assert_eq!(inside(THREAD, 8), "+8");
        // A byte of the header that has another name as well ends where the header goes on.
        let debug_active =
            FieldInfo { name: "debug_active", nt: None, offset: 0x12, size: 1, inner: &[], names: &[] };
        let union = [THREAD[0], debug_active, THREAD[1]];
        let named = [0x10, 0x12, 0x13, 0x14, 0x19].map(|offset| inside(&union, offset));
        let expected = [".Header", ".DebugActive", ".Header.Type+3", ".Header.SignalState", ".Header+9"];
        assert_eq!(named, expected);
        // Where two begin, a structure held in place tells more.
        let lock = FieldInfo { name: "lock", nt: None, offset: 0x10, size: 8, inner: &[], names: &[] };
        assert_eq!(inside(&[lock, THREAD[0]], 0x14), ".Header.SignalState");
    }

    #[test]
    fn both_kernels_fields_have_the_names_and_the_values_of_nt() {
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let (names, layouts) = (Names::new(kernel, &kernel.boot().unwrap(), &[]), Layouts::new(kernel));
            let told = |path: &str, value: &[u8]| {
                let field = layouts.fields("ETHREAD").unwrap().iter().find(|field| field.path == path);
                let field = field.unwrap_or_else(|| panic!("{name} has no {path}"));
                let bytes = [value, &[0; 4]].concat()[..field.size as usize].to_vec();
                shown(&names, field, &Some(bytes), None)
            };
            assert_eq!(told("Tcb.WaitReason", &[5]), "05 Suspended", "{name}");
            assert_eq!(told("Tcb.WaitMode", &[1]), "01 UserMode", "{name}");
            assert_eq!(told("Tcb.Alerted[1]", &[1]), "01", "{name}");
            assert_eq!(told("Tcb.ApcState.ApcListHead[0].Flink", &[0]), "00000000", "{name}");
            assert_eq!(told("Tcb.SuspendApc.ApcStateIndex", &[0]), "00 OriginalApcEnvironment", "{name}");
            assert!(told("Tcb.WaitBlock[0].WaitType", &[1]).ends_with("01 WaitAny"), "{name}");
            assert_eq!(told("Cid.UniqueThread", &[8]), "00000008", "{name}");
            assert!(told("Tcb.Header.Type", &[0xD9]).starts_with("D9"), "{name}");
        }
    }

    #[test]
    fn values_are_numbers_with_all_their_digits_and_names_where_they_have_one() {
        let names = nt();
        let field = |names, bits| Field { path: "F".to_owned(), offset: 0, size: 4, names, bits };
        let plain = field(&[], &[]);
        assert_eq!(shown(&names, &plain, &Some(vec![0x34, 0x12, 0, 0]), None), "00001234");
        assert_eq!(shown(&names, &plain, &Some(vec![5]), None), "05");
        assert_eq!(shown(&names, &plain, &None, None), "not mapped");
        let state = field(&[(4, "Terminated")], &[]);
        assert_eq!(shown(&names, &state, &Some(vec![4]), Some(&[5])), "04 Terminated");
        let status = Field { path: "Tcb.WaitStatus".to_owned(), ..plain.clone() };
        assert_eq!(shown(&names, &status, &Some(vec![0, 1, 0, 0]), None), "00000100 STATUS_KERNEL_APC");
        assert_eq!(shown(&names, &plain, &Some(vec![0, 1, 0, 0]), None), "00000100");
        assert_eq!(shown(&names, &status, &Some(vec![0; 4]), None), "00000000");
        let wide = |text: &[u8]| shown(&names, &plain, &Some(text.to_vec()), None);
        assert_eq!(wide(b"a.exe\0\0\0\0"), "612E65786500000000 \"a.exe\"");
        assert_eq!(wide(b"a.exe\0\0\0\x01"), "612E65786500000001");
        assert_eq!(wide(&[0; 9]), "000000000000000000");
        let flags = field(&[], &[(1, "Terminated"), (2, "Dead")]);
        assert_eq!(shown(&names, &flags, &Some(vec![1]), Some(&[2])), "01 Terminated no Dead");
        assert_eq!(camel("cross_thread_flags"), "CrossThreadFlags");
    }
}
