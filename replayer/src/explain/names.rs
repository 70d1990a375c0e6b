//! What lies at an address, in the words of the case.

use super::blocks;
use super::fields::{Field, Layouts};
use contract::{Block, Kernel, Named, ObjectId, ObjectKind, Owner, Status};
use machine::{Machine, Va};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A structure that lives in a machine.
#[derive(Clone, Debug)]
pub struct Structure {
    /// Which object it is.
    pub id: ObjectId,
    /// The case's name for it; `init`, `System` and the like for those that are there before any case,
    /// the client id for others.
    pub name: String,
    /// The NT name of its layout: `ETHREAD`.
    pub layout: &'static str,
    /// Bytes.
    pub size: u32,
}

/// What lies where in a machine.
pub struct Names {
    kernel: &'static dyn Kernel,
    layouts: Rc<Layouts>,
    /// The structures that live, processes and threads first.
    pub structures: Vec<Structure>,
    /// The case's names, of things that do not live too.
    known: Vec<(ObjectId, String)>,
    /// Pointers into blocks of the pool that are gone by now, or another's: [`super::told_calls`].
    pub(super) blocks: BTreeMap<u32, String>,
    machine: Machine,
    /// The blocks of the pool that are in use, by address.
    heap: OnceCell<Vec<Block>>,
}

/// The layout of an object that a case can name, besides processes and threads.
fn layout_of(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Process => &["EPROCESS"],
        ObjectKind::Thread => &["ETHREAD"],
        ObjectKind::Mutant => &["KMUTANT"],
        ObjectKind::Semaphore => &["KSEMAPHORE"],
        ObjectKind::Timer => &["KTIMER"],
        ObjectKind::DebugObject => &["DEBUG_OBJECT"],
        ObjectKind::Event => &["KEVENT", "DISPATCHER_HEADER"],
        ObjectKind::Section | ObjectKind::Port => &[],
    }
}

impl Names {
    /// What lies where in `m`, of which the case has named `named`.
    pub fn new(kernel: &'static dyn Kernel, m: &Machine, named: &[Named]) -> Names {
        Names::with(&Rc::new(Layouts::new(kernel)), m, named)
    }

    /// As [`Names::new`], for who looks at many machines of a kernel and has its layouts already.
    pub fn with(layouts: &Rc<Layouts>, m: &Machine, named: &[Named]) -> Names {
        let kernel = layouts.kernel();
        let mut known: Vec<(ObjectId, String)> =
            named.iter().map(|named| (named.id, named.name.clone())).collect();
        let scene = kernel.scene(m);
        known.push((scene.thread, "init".to_owned()));
        known.push((scene.process, "init".to_owned()));
        for (name, _, handle) in &scene.named {
            known.extend(kernel.object(m, Owner::Init, *handle).map(|(id, _)| (id, (*name).to_owned())));
        }
        let size = |layout: &str| kernel.image().layouts.iter().find(|info| info.name == layout);
        let mut structures = Vec::new();
        for (id, layout) in kernel.structures(m) {
            let name = known.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone());
            let name = name.unwrap_or_else(|| match kernel.client_id(m, id) {
                Some((0, 0)) => "Idle".to_owned(),
                Some((process, 0)) if layout == "EPROCESS" => format!("process {process:04X}"),
                Some((process, thread)) => format!("thread {process:04X}.{thread:04X}"),
                None => id.at.to_string(),
            });
            structures.extend(size(layout).map(|info| Structure { id, name, layout, size: info.size }));
        }
        for one in named.iter().filter(|one| !matches!(one.kind, ObjectKind::Process | ObjectKind::Thread)) {
            let info = layout_of(one.kind).iter().find_map(|name| size(name));
            let lives = |view: contract::View| view.objects.iter().any(|object| object.state != "deleted");
            if let Some(info) = info.filter(|_| lives(kernel.view(m, std::slice::from_ref(one)))) {
                let name = one.name.clone();
                structures.push(Structure { id: one.id, name, layout: info.name, size: info.size });
            }
        }
        let (layouts, machine) = (Rc::clone(layouts), m.clone());
        Names { kernel, layouts, structures, known, blocks: BTreeMap::new(), machine, heap: OnceCell::new() }
    }

    /// The kernel whose machine it is.
    pub fn kernel(&self) -> &'static dyn Kernel {
        self.kernel
    }

    /// The name of an object; for one without a name that does not live any more, its address.
    pub fn object(&self, id: ObjectId) -> String {
        let lives = self.structures.iter().find(|structure| structure.id == id).map(|one| &one.name);
        let name = lives.or_else(|| self.known.iter().find(|(known, _)| *known == id).map(|(_, name)| name));
        name.map_or_else(|| format!("deleted {}", id.at), String::clone)
    }

    /// The name of the process with an id.
    pub fn process(&self, id: u32) -> Option<&str> {
        let has = |one: &&Structure| {
            one.layout == "EPROCESS" && self.kernel.client_id(&self.machine, one.id) == Some((id, 0))
        };
        self.structures.iter().find(has).map(|one| one.name.as_str())
    }

    /// A doubleword as a person reads it: what it points to, the status that it is, or its digits.
    pub fn value(&self, value: u32) -> String {
        self.meaning(value).unwrap_or_else(|| format!("{value:08X}"))
    }

    /// What a doubleword points to, or the status that it is, where that is known.
    pub fn meaning(&self, value: u32) -> Option<String> {
        let block = || self.blocks.get(&value).cloned().or_else(|| self.block(value));
        self.lasting(value).or_else(block)
    }

    /// As [`Names::meaning`], but of the pool only processes, threads and what the case has named.
    pub(super) fn lasting(&self, value: u32) -> Option<String> {
        if value < 0x1_0000 {
            return None;
        }
        let inside = |one: &&Structure| (one.id.at.0..one.id.at.0 + one.size).contains(&value);
        if let Some(one) = self.structures.iter().find(inside) {
            let field = self.layouts.at(one.layout, value - one.id.at.0);
            return Some(format!("{} {}{field}", one.name, one.layout));
        }
        if value >= 0x4000_0000
            && let Some(name) = Status(value).name()
        {
            return Some(name.to_owned());
        }
        self.layouts.variable(value).or_else(|| recorder::symbol(self.kernel, Va(value)))
    }

    /// The block of the pool that a doubleword points into.
    fn block(&self, value: u32) -> Option<String> {
        let heap = self.heap.get_or_init(|| self.kernel.heap(&self.machine).blocks);
        blocks::holding(heap, value).map(|block| blocks::title(&self.machine, block, self))
    }

    /// The fields of a layout that hold values; none when there is no such layout.
    pub fn fields(&self, layout: &str) -> Option<&[Field]> {
        self.layouts.fields(layout)
    }

    /// The layouts of the kernel.
    pub fn layouts(&self) -> &Rc<Layouts> {
        &self.layouts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_by_the_variable_the_structure_or_the_block_that_they_point_into() {
        let text = "# A case.\nprocess app\nthread main in=app\nmain NtDelayExecution interval=forever\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for (name, list, blocks) in [
            ("nt", "KernelData.PsActiveProcessHead", ["Obtb block of app", "Thre block of main"]),
            ("reactos", "GLOBALS.PriorityListHead", ["CIDO block of main", "THRT block of main"]),
        ] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let event = recording.event(3).unwrap();
            let names = Names::new(kernel, &event.machine, &event.named);
            let place = |layout: &str| names.layouts().place(layout).unwrap().0;
            let variables = place(list.split('.').next().unwrap());
            assert_eq!(names.meaning(variables).as_deref(), Some(list), "{name}");
            assert_eq!(names.meaning(place("KPCR")).as_deref(), Some("KPCR"), "{name}");
            let heap = kernel.heap(&event.machine).blocks;
            let told: Vec<_> = heap.iter().filter_map(|block| names.meaning(block.at.0 + 0x10)).collect();
            for block in blocks {
                assert!(told.iter().any(|told| told == block), "{name}: {block} is not among {told:?}");
            }
            let idle = names.structures.iter().find(|one| one.layout == "ETHREAD").unwrap();
            assert!(!idle.name.starts_with("process"), "{name}: {idle:?}");
        }
    }
}
