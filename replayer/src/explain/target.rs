//! Finding a structure or a field by the name that a user gives: `worker.ETHREAD.CrossThreadFlags`.

use super::Names;
use super::fields::{self, Field};
use crate::words::counted;
use contract::{Kernel, Named, ObjectId};
use guest::FieldInfo;
use machine::{Machine, Va};
use recorder::case::nearest;

/// A structure in a machine, or some of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is shown: `worker ETHREAD`, `worker ETHREAD.Tcb.ApcState`.
    pub label: String,
    /// Which object it belongs to; none for one that was given by its address.
    pub id: Option<ObjectId>,
    /// Where its first byte lies.
    pub at: Va,
    /// Bytes.
    pub size: u32,
    /// The address space in which it lies.
    pub cr3: u32,
    /// The fields of it that hold values, their offsets from `at`.
    pub fields: Vec<Field>,
}

impl Target {
    /// What it is and where: `worker ETHREAD.ExitStatus, 4 bytes at 81003EF0`.
    pub fn title(&self) -> String {
        let Target { label, size, at, .. } = self;
        format!("{label}, {} at {at}", counted(*size, "byte"))
    }
}

/// Structures that begin with another one, which can be asked for in its place.
const WITHIN: [(&str, &[&str]); 4] = [
    ("ETHREAD", &["KTHREAD", "DISPATCHER_HEADER"]),
    ("EPROCESS", &["KPROCESS", "DISPATCHER_HEADER"]),
    ("KMUTANT", &["DISPATCHER_HEADER"]),
    ("KSEMAPHORE", &["DISPATCHER_HEADER"]),
];

/// Structures of ring 3 that a kernel object points to: the object's layout, the field, the structure.
const POINTED: [(&str, &str, &str); 2] = [("ETHREAD", "Tcb.Teb", "TEB"), ("EPROCESS", "Peb", "PEB")];

/// Finds what a text names: an object of the case and a layout (`worker.ETHREAD`), an address and a layout
/// (`8100A2C0.KAPC`), or a structure with a fixed place (`KPCR`), and behind it a field, with those that
/// hold it.
///
/// # Errors
/// A text that says what there is none of, and the nearest name.
pub fn find(names: &Names, m: &Machine, named: &[Named], text: &str) -> Result<Target, String> {
    let kernel = names.kernel();
    let known = || kernel.image().layouts.iter().map(|info| info.name);
    let (subject, rest) = text.split_once('.').unwrap_or((text, ""));
    let fixed = known().find(|name| name.eq_ignore_ascii_case(subject));
    let fixed = fixed.and_then(|name| Some((name, names.layouts().place(name)?)));
    let (layout, path) = match fixed {
        Some((name, _)) => (name, Some(rest).filter(|_| text.contains('.'))),
        None => rest.split_once('.').map_or((rest, None), |(layout, path)| (layout, Some(path))),
    };
    if subject.is_empty() || layout.is_empty() || path == Some("") {
        return Err(format!(
            "`{text}` names no structure or field; write it as worker.ETHREAD or worker.ETHREAD.ExitStatus"
        ));
    }
    let info = kernel.image().layouts.iter().find(|info| info.name.eq_ignore_ascii_case(layout));
    let Some(info) = info else {
        return Err(format!("{} has no structure {layout}{}", kernel.name(), mean(layout, known())));
    };
    let (id, at, cr3) = match fixed {
        Some((_, at)) => (None, at, m.cpu.cr3),
        None => place(names, m, named, subject, info.name)?,
    };
    let label = match (fixed, id) {
        (Some((name, _)), _) => name.to_owned(),
        (None, Some(id)) => format!("{} {}", names.object(id), info.name),
        (None, None) => format!("{at} {}", info.name),
    };
    let fields = names.fields(info.name).unwrap_or_default().to_vec();
    let Some(path) = path else { return Ok(Target { label, id, at, size: info.size, cr3, fields }) };
    let Some((offset, size, spelled)) = part(info.fields, path) else {
        let all: Vec<String> = fields.iter().map(|field| field.path.clone()).collect();
        let near = mean_field(path, &all);
        let whole = text.strip_suffix(path).unwrap_or(text).trim_end_matches('.');
        let near = if near.is_empty() { format!("; show --struct {whole} lists all") } else { near };
        return Err(format!("{} has no field {path}{near}", info.name));
    };
    let inside = |field: &Field| field.offset >= offset && field.offset + field.size <= offset + size;
    let fields =
        fields.into_iter().filter(inside).map(|field| Field { offset: field.offset - offset, ..field });
    let fields = fields.collect();
    Ok(Target { label: format!("{label}.{spelled}"), id, at: at.add(offset), size, cr3, fields })
}

/// Where the structure of a subject lies, and in which address space.
fn place(
    names: &Names,
    m: &Machine,
    named: &[Named],
    subject: &str,
    layout: &str,
) -> Result<(Option<ObjectId>, Va, u32), String> {
    let digits = subject.strip_prefix("0x").or(Some(subject).filter(|digits| digits.len() == 8));
    if let Some(at) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        return Ok((None, Va(at), m.cpu.cr3));
    }
    let all: Vec<_> = names.structures.iter().filter(|one| one.name == subject).collect();
    if all.is_empty() {
        if named.iter().any(|one| one.name == subject) {
            return Err(format!("{subject} is not there at that instant, or has no structure that is known"));
        }
        let mut known: Vec<&str> = names.structures.iter().map(|one| one.name.as_str()).collect();
        known.dedup();
        let hint = match u32::from_str_radix(subject, 16) {
            Ok(at) => format!("; as an address it is written {}.{layout}", Va(at)),
            Err(_) => mean(subject, known.iter().copied()),
        };
        return Err(format!("nothing is named {subject}{hint}\nthere are: {}", known.join(", ")));
    }
    let space = |id: ObjectId| {
        let threads = names.kernel().threads(m);
        let thread = threads.iter().find(|thread| thread.id == id).map(|thread| thread.cr3);
        thread.or_else(|| names.kernel().address_space(m, id)).unwrap_or(m.cpu.cr3)
    };
    for one in &all {
        let within = WITHIN.iter().any(|(outer, inner)| *outer == one.layout && inner.contains(&layout));
        if one.layout == layout || within {
            return Ok((Some(one.id), one.id.at, m.cpu.cr3));
        }
        let pointed = POINTED.iter().find(|(outer, _, to)| *outer == one.layout && *to == layout);
        if let Some((outer, field, _)) = pointed {
            let field = names
                .fields(outer)
                .unwrap_or_default()
                .iter()
                .find(|known| known.path == *field || known.path.ends_with(&format!(".{field}")));
            let value = field.and_then(|field| fields::value(m, one.id.at.add(field.offset), 4));
            let at = value.map_or(0, |raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
            if at == 0 {
                return Err(format!("{subject} has no {layout} at that instant"));
            }
            return Ok((Some(one.id), Va(at), space(one.id)));
        }
    }
    let has: Vec<&str> = all.iter().map(|one| one.layout).collect();
    Err(format!("{subject} is no {layout}; it is {}", has.join(" and ")))
}

/// The part of a layout that a path names, in whatever case, with or without underscores: its offset, its
/// size, and its NT name. A field that lies in others may be named without them where that is clear.
fn part(fields: &[FieldInfo], path: &str) -> Option<(u32, u32, String)> {
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let mut all = Vec::new();
    every(fields, "", 0, &mut all);
    let wanted = plain(path);
    let exact = all.iter().find(|(_, _, name)| plain(name) == wanted);
    let mut ends = all.iter().filter(|(_, _, name)| plain(name).ends_with(&format!(".{wanted}")));
    let only = ends.next().filter(|_| ends.next().is_none());
    exact.or(only).cloned()
}

/// Every field, whether it holds a value or a structure.
fn every(fields: &[FieldInfo], path: &str, base: u32, all: &mut Vec<(u32, u32, String)>) {
    for field in fields {
        let name = fields::spelled(field);
        let name = if path.is_empty() { name } else { format!("{path}.{name}") };
        all.push((base + field.offset, field.size, name.clone()));
        every(field.inner, &name, base + field.offset, all);
    }
}

fn mean<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(word, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// As [`mean`], for a path: fields may be meant by their last names.
fn mean_field(path: &str, all: &[String]) -> String {
    let near = nearest(path, all.iter().map(String::as_str)).map(str::to_owned);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let by_last = || {
        let lasts: Vec<String> = all.iter().map(|name| last(name)).collect();
        let found = nearest(path, lasts.iter().map(String::as_str))?.to_owned();
        all.iter().find(|name| last(name) == found).cloned()
    };
    near.or_else(by_last).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// The name of a thread that is nearest to a word that is none.
pub fn nearest_thread(kernel: &dyn Kernel, names: &Names, m: &Machine, word: &str) -> String {
    let threads: Vec<String> = kernel.threads(m).iter().map(|thread| names.object(thread.id)).collect();
    format!(
        "no thread is named {word}{}\nthere are: {}",
        mean(word, threads.iter().map(String::as_str)),
        threads.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, test: impl Fn(&Names, &Machine, &[Named])) {
        let text = "# A case.\nprocess app\nthread worker in=app\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let kernel = recorder::kernels::by_name(name).unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let event = recording.event(2).unwrap();
        test(&Names::new(kernel, &event.machine, &event.named), &event.machine, &event.named);
    }

    #[test]
    fn structures_and_fields_are_found_by_their_nt_names_in_any_case() {
        for name in ["nt", "reactos"] {
            with(name, |names, m, named| {
                let find = |text: &str| find(names, m, named, text);
                let thread = find("worker.ETHREAD").unwrap();
                assert_eq!(thread.label, "worker ETHREAD", "{name}");
                let status = find("worker.ethread.exit_status").unwrap();
                assert_eq!((status.size, status.fields.len()), (4, 1), "{name}");
                assert_eq!(status.label, "worker ETHREAD.ExitStatus");
                assert_eq!(find("worker.ETHREAD.ExitStatus").unwrap(), status);
                let state = find("worker.ETHREAD.Tcb.ApcState").unwrap();
                assert!(state.fields.len() > 3 && state.at > thread.at, "{name}: {state:?}");
                let count = find("worker.ETHREAD.SuspendCount").unwrap();
                assert_eq!(count.label, "worker ETHREAD.Tcb.SuspendCount", "{name}");
                assert!(find("worker.TEB").unwrap().at.0 < 0x8000_0000, "{name}");
                assert!(find("app.EPROCESS.Pcb").is_ok() && find("init.EPROCESS").is_ok(), "{name}");
                let raw = format!("{:08X}.KAPC", thread.at.0);
                assert_eq!(find(&raw).unwrap().at, thread.at);
                assert_eq!(find(&format!("0x{raw}")), find(&raw));
                let state = find("worker.KTHREAD.State").unwrap();
                assert_eq!(state.at, find("worker.ETHREAD.Tcb.State").unwrap().at, "{name}");
                assert_eq!(find("kpcr").unwrap().label, "KPCR", "{name}");
                assert_eq!(find("KPCR.Irql").unwrap().size, 1, "{name}");
            });
        }
    }

    #[test]
    fn what_there_is_none_of_is_told_with_the_nearest_name() {
        with("nt", |names, m, named| {
            let told = |text: &str| find(names, m, named, text).unwrap_err();
            let hint = "nothing is named workr; did you mean worker?\nthere are: Idle, System, ";
            assert!(told("workr.ETHREAD").starts_with(hint), "{}", told("workr.ETHREAD"));
            assert_eq!(told("worker.ETHRED"), "nt has no structure ETHRED; did you mean ETHREAD?");
            assert_eq!(told("worker.EPROCESS"), "worker is no EPROCESS; it is ETHREAD");
            assert_eq!(
                told("worker.ETHREAD.ExitStatu"),
                "ETHREAD has no field ExitStatu; did you mean ExitStatus?"
            );
            for part in ["worker", "worker.", "worker.ETHREAD.", ".ETHREAD", "", "KPCR."] {
                assert!(told(part).contains("write it as worker.ETHREAD"), "{part}: {}", told(part));
            }
            assert_eq!(
                told("worker.ETHREAD.Foo"),
                "ETHREAD has no field Foo; show --struct worker.ETHREAD lists all"
            );
        });
    }
}
