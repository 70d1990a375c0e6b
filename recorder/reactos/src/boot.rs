//! A fresh machine (reactos.md 1, 4.10): memory, tables, System with its threads, and `init`.
//!
//! The boot thread is left out: the idle thread is what runs when the machine is handed over.

use crate::{ReactOs, ex, ke, layout::*, mm, mm::pages::pte, ob, ps, routines::Ke, services, stubs, user};
use contract::{BootError, context::Context, program};
use guest::{Pointer, Read, Va, Write};
use machine::{Machine, PAGE, Pa, Reg, Seg, Table, registers::control, registers::flags};
use ps::create_process::load_page;

/// Boots the kernel.
pub(crate) fn boot(kernel: &ReactOs) -> Result<Machine, BootError> {
    use contract::Kernel;
    let name = kernel.name();
    let mut m = Machine::new(PHYSICAL_PAGES);
    let used = page_tables(&mut m);
    let made = build(&mut m, used).map_err(|fault| BootError::Fault { kernel: name, fault })?;
    made.map_err(|what| BootError::Other { kernel: name, what })?;
    Ok(m)
}

/// Takes frames before there is a bitmap to take them from.
struct Frames(u32);

impl Frames {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Builds the kernel half and turns paging on; the first frame that is still free.
fn page_tables(m: &mut Machine) -> u32 {
    // Frame 0 stays unused.
    let mut frames = Frames(0);
    let directory = frames.next() << 12;
    let present = pte::PRESENT | pte::WRITABLE;
    // Every table of the kernel half exists from the start, so that it is the same in every directory.
    let regions = [
        (KERNEL_BASE, 1),
        (POOL.0, POOL_SIZE >> 22),
        (STACKS.0, (STACK_COUNT * STACK_SLOT) >> 22),
        (KPCR.0, 1),
        (KI_USER_SHARED_DATA.0, 1),
    ];
    for (base, tables) in regions {
        for index in 0..tables {
            let table = frames.next() << 12;
            m.memory.write_u32(Pa(directory + ((base >> 22) + index) * 4), table | present);
        }
    }
    m.memory.write_u32(Pa(directory + (SELF_MAP >> 22) * 4), directory | present);
    let gate_pages = (Ke::END - Ke::BASE).div_ceil(PAGE);
    let mapped = [
        (GDT, (KERNEL_BASE + 0x1_0000 - GDT.0) / PAGE),
        (KERNEL_CODE, KERNEL_CODE_PAGES),
        (Va(Ke::BASE), gate_pages),
        (KPCR, 1),
        (KI_USER_SHARED_DATA, 1),
    ];
    for (base, pages) in mapped {
        for page in 0..pages {
            let at = base.add(page * PAGE);
            let table = m.memory.read_u32(Pa(directory + (at.0 >> 22) * 4)) & !0xFFF;
            let frame = frames.next();
            m.memory.write_u32(Pa(table + (at.0 >> 12 & 0x3FF) * 4), frame << 12 | present);
            if base.0 == Ke::BASE {
                load_page(m, frame, &[], 0xCC);
            }
        }
    }
    m.cpu.cr3 = directory;
    m.cpu.cr0 |= control::PG | control::WP | control::MP;
    m.cpu.cr4 |= control::OSFXSR;
    frames.0 + 1
}

/// Everything that needs paging.
fn build(m: &mut Machine, used: u32) -> R<Result<(), String>> {
    for frame in 0..used {
        let at = PAGE_BITMAP.add(frame / 8);
        let byte: u8 = m.load(at)?;
        m.store(at, byte | 1 << (frame % 8))?;
    }
    m.put(KERNEL_CODE, &stubs::kernel().bytes)?;
    globals(m)?;
    tables(m)?;
    if let Err(trap) = segments(m) {
        return Ok(Err(format!("a segment register cannot be loaded: {trap:?}")));
    }
    dlls(m)?;
    m.gates.kernel = Ke::BASE..Ke::END;
    m.gates.user = user::Us::BASE..user::Us::END;
    let Some(idle) = system(m)? else { return Ok(Err("no memory for System".to_owned())) };
    if init(m)?.is_none() {
        return Ok(Err("no memory for init".to_owned()));
    }
    run_idle(m, idle)?;
    Ok(Ok(()))
}

fn globals(m: &mut Machine) -> R<()> {
    for priority in 0..32 {
        G.ready(priority).init(m)?;
    }
    for head in [
        G.process_list_head(),
        G.cid_head(),
        G.timer_list_head(),
        G.threads_to_reap(),
        G.driver_fired(),
        G.csr_processes(),
    ] {
        head.init(m)?;
    }
    m.set(G.pool_next_serial(), 1)?;
    m.set(G.pool_end(), POOL)?;
    m.set(G.pool_mapped(), POOL)?;
    ex::fastmutex::init(m, G.suspend_mutex())?;
    ke::event::init(m, G.reaper_event(), false, false)?;
    ke::event::init(m, G.never_event(), true, false)?;
    for kind in Type::ALL {
        m.set(G.object_type(kind).code(), kind as u32)?;
    }
    ke::fpu::init(m)?;
    m.set(SHARED.tick_count_multiplier(), 0x0FA0_0000)?;
    m.set(SHARED.system_time(), ke::interrupt::BOOT_TIME)?;
    m.set(SHARED.system_time_high2(), (ke::interrupt::BOOT_TIME >> 32) as u32)?;
    // The service table, with the argument byte counts behind it.
    for number in 0..services::COUNT {
        let service = services::SERVICES.iter().find(|service| service.number == number);
        let routine = service.map_or(Ke::NtUnknownService, |service| service.routine);
        m.store(SERVICE_TABLE.add(4 * number), routine.at())?;
        let bytes = 4 * services::params(number) as u8;
        m.store(SERVICE_TABLE.add(4 * services::COUNT + number), bytes)?;
    }
    Ok(())
}

/// GDT, IDT, TSS and PCR (1.3, 1.4, 1.5, 2.9).
fn tables(m: &mut Machine) -> R<()> {
    let task = |base: Va, size: u32| {
        [size - 1, base.0 & 0xFFFF, 0x8900 | base.0 >> 16 & 0xFF, base.0 >> 16 & 0xFF00]
    };
    let descriptors: [[u32; 4]; 11] = [
        [0, 0, 0, 0],
        [0xFFFF, 0, 0x9A00, 0x00CF],
        [0xFFFF, 0, 0x9200, 0x00CF],
        [0, 0, 0xFA00, 0x00CC],
        [0, 0, 0xF200, 0x00CC],
        task(TSS, Ktss::EXTENT),
        [0x1000, 0, 0x9200, 0xFF00],
        [0x1000, 0, 0xF200, 0],
        [0, 0, 0, 0],
        [0, 0, 0x8200, 0],
        task(TRAP_TSS, 0x69),
    ];
    for (index, words) in descriptors.into_iter().enumerate() {
        for (word, value) in words.into_iter().enumerate() {
            m.store(GDT.add(8 * index as u32 + 2 * word as u32), value as u16)?;
        }
    }
    let code = stubs::kernel();
    for vector in 0..256u32 {
        let (handler, kind) = match vector {
            8 => {
                m.store(IDT.add(8 * vector + 2), selector::TRAP_TSS)?;
                m.store(IDT.add(8 * vector + 4), 0x8500u16)?;
                continue;
            }
            3 => ("KiTrap3", 0xEF00),
            14 => ("KiTrap14", 0x8E00),
            0..=19 => (stubs::TRAPS[vector as usize], 0x8F00),
            // The debug service, with no debugger to serve: a breakpoint.
            0x2D => ("KiTrap3", 0xEF00),
            0x2E => ("interrupt_handler2e", 0xEF00),
            0x40..=0x4F => (stubs::IRQS[vector as usize - 0x40], 0x8E00),
            _ => ("KiTrapUnknown", 0x8F00),
        };
        let at = code.symbol(handler).0;
        m.store(IDT.add(8 * vector), at as u16)?;
        m.store(IDT.add(8 * vector + 2), selector::KERNEL_CS)?;
        m.store::<u16>(IDT.add(8 * vector + 4), kind)?;
        m.store(IDT.add(8 * vector + 6), (at >> 16) as u16)?;
    }
    m.set(THE_TSS.ss0(), u32::from(selector::KERNEL_DS))?;
    m.set(THE_TSS.ldt(), u32::from(selector::LDT))?;
    m.set(THE_TSS.io_map_base(), 0xFFFF)?;
    m.store(TSS.add(0x68 + 8192), 0xFFu8)?;
    let trap = Ktss(TRAP_TSS);
    let data = u32::from(selector::KERNEL_DS);
    for slot in [trap.es(), trap.ss(), trap.ds(), trap.gs(), trap.ss0()] {
        m.set(slot, data)?;
    }
    m.set(trap.cr3(), m.cpu.cr3)?;
    m.set(trap.eip(), code.symbol("KiTrap8").0)?;
    m.set(trap.eflags(), flags::ONE)?;
    m.set(trap.esp(), TRAP_STACK.0 + STACK_SIZE)?;
    m.set(trap.cs(), u32::from(selector::KERNEL_CS))?;
    m.set(trap.fs(), u32::from(selector::PCR))?;
    m.set(PCR.tib_self(), KPCR)?;
    m.set(PCR.this(), KPCR)?;
    m.set(PCR.exception_list(), u32::MAX)?;
    m.set(PCR.idt(), IDT)?;
    m.set(PCR.gdt(), GDT)?;
    m.set(PCR.tss(), TSS)
}

fn segments(m: &mut Machine) -> Result<(), machine::Trap> {
    // One more than the architectural limit.
    m.cpu.gdtr = Table { base: GDT.0, limit: 88 };
    m.cpu.idtr = Table { base: IDT.0, limit: 256 * 8 - 1 };
    m.load_segment(Seg::Cs, selector::KERNEL_CS)?;
    for seg in [Seg::Ss, Seg::Ds, Seg::Es, Seg::Gs] {
        m.load_segment(seg, selector::KERNEL_DS)?;
    }
    m.load_segment(Seg::Fs, selector::PCR)?;
    m.load_task(selector::TSS)
}

/// The pages that every process shares: ntdll, kernel32, the program, the shared data.
fn dlls(m: &mut Machine) -> R<()> {
    let mut row = 0;
    let mut place = |m: &mut Machine, base: Va, bytes: &[u8], fill: u8| -> R<()> {
        for (index, part) in bytes.chunks(PAGE as usize).enumerate() {
            let frame = mm::pages::allocate(m)?.unwrap_or(0);
            load_page(m, frame, part, fill);
            let (slot_base, slot_frame) = G.dll_page(row);
            m.set(slot_base, base.0 + PAGE * index as u32)?;
            m.set(slot_frame, frame)?;
            row += 1;
        }
        Ok(())
    };
    place(m, NTDLL, &user::ntdll().bytes, 0)?;
    place(m, KERNEL32, &user::kernel32().bytes, 0)?;
    let gates = vec![0xCC; (user::Us::END - user::Us::BASE) as usize];
    place(m, Va(user::Us::BASE), &gates, 0xCC)?;
    let header = mm::pages::allocate(m)?.unwrap_or(0);
    load_page(m, header, b"MZ", 0);
    m.set(G.program_header(), header)?;
    let code = mm::pages::allocate(m)?.unwrap_or(0);
    load_page(m, code, &program::code().bytes, 0xCC);
    m.set(G.program_code(), code)?;
    let place = mm::pages::entry(m, m.cpu.cr3, KI_USER_SHARED_DATA);
    let shared = place.map_or(0, |place| m.memory.read_u32(place) >> 12);
    m.set(G.shared_data(), shared)
}

/// The System process, and its threads: idle, reaper, and the one that cases aim at. The idle thread.
fn system(m: &mut Machine) -> R<Option<EThread>> {
    let Some(process) = ps::create_process::create_object(m, false)? else { return Ok(None) };
    ps::create_process::initialize(m, process, None)?;
    let mut name = [0; 16];
    name[..6].copy_from_slice(b"System");
    m.set(process.image_file_name(), name)?;
    m.set(G.system_process(), process)?;
    m.cpu.cr3 = m.get(process.pcb().directory_table_base())?;
    let Some(idle) = ps::thread::create_at_boot(m, process)? else { return Ok(None) };
    let Some(reaper) = ps::thread::create_at_boot(m, process)? else { return Ok(None) };
    let Some(target) = ps::thread::create_at_boot(m, process)? else { return Ok(None) };
    for (thread, routine) in [(reaper, Ke::PsReaperThreadMain), (target, Ke::SystemThreadMain)] {
        m.set(thread.start_address(), routine.at())?;
        ps::start::system(m, thread, routine.at(), 0)?;
        ke::dispatch::unblock(m, thread, None, 0)?;
    }
    m.set(G.system_thread(), target)?;
    Ok(Some(idle))
}

/// The process `init` and its thread, as NtCreateProcess and NtCreateThread make them, called by
/// nobody.
fn init(m: &mut Machine) -> R<Option<()>> {
    let system = m.get(G.system_process())?;
    let Some(process) = ps::create_process::create_object(m, false)? else { return Ok(None) };
    ps::create_process::initialize(m, process, Some(system))?;
    let fixed = ps::create_process::fixed_areas(m, process)?;
    if !fixed || ps::create_process::populate(m, process, true)?.is_err() {
        return Ok(None);
    }
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"init");
    m.set(process.image_file_name(), name)?;
    m.set(G.init_process(), process)?;
    let Some(section) = ob::object::create(m, Type::Section, 0x10, false)? else {
        return Ok(None);
    };
    m.set(G.section(), section)?;
    let target = m.get(G.system_thread())?;
    let handles = [
        (system.0, 0x1F_0FFF, G.system_handle()),
        (target.0, 0x1F_03FF, G.system_thread_handle()),
        (section, 0xF_001F, G.section_handle()),
    ];
    for (body, access, slot) in handles {
        let Ok(value) = ob::handle::create(m, process, body, access, false)? else { return Ok(None) };
        m.set(slot, value)?;
    }
    first_thread(m, process)?;
    ob::dereference(m, process.0)?;
    Ok(Some(()))
}

/// init's thread. It starts with the stub of 5.3 in every variant: boot builds its stack, and with the
/// stale stub (5.6.1) there would be nobody to set a scene.
fn first_thread(m: &mut Machine, process: EProcess) -> R<()> {
    const STACK: u32 = 0x1_0000;
    let Some(thread) = ps::thread::create_at_boot(m, process)? else { return Ok(()) };
    m.set(G.init_thread(), thread)?;
    let stack = mm::services::allocate(m, process, Va(0), STACK, 0x3000, 4)?;
    let base = stack.map_or(Va(0), |(base, _)| base);
    let top = base.add(STACK);
    let entry = program::symbol(program::ENTRY).0;
    for (index, value) in [DEADBEEF, entry, PEB_BASE.0].into_iter().enumerate() {
        mm::space::write_to(m, process, top.sub(12).add(4 * index as u32), &value.to_le_bytes())?;
    }
    // A CONTEXT and an INITIAL_TEB, for as long as they are needed, behind the globals.
    let scratch = GLOBALS.add(0x800);
    let from = Context(scratch);
    user::create::fill_context(m, from, user::kernel32().symbol("BaseProcessStart"), top.sub(12))?;
    ps::start::with_context(m, thread, from, stubs::kernel().symbol("PsBeginThreadWithContextInternal"))?;
    let initial = InitialTeb(scratch);
    m.zero(scratch, contract::context::SIZE)?;
    m.set(initial.stack_base(), top)?;
    m.set(initial.stack_limit(), base)?;
    if let Ok(teb) = ps::teb::allocate(m, process)? {
        ps::teb::fill(m, process, thread, teb, Some(initial))?;
        m.set(thread.tcb().teb(), teb)?;
    }
    m.zero(scratch, contract::context::SIZE)?;
    let apc = ex::pool::allocate(m, ex::pool::UNTAGGED, KApc::EXTENT)?.unwrap_or(Va(0));
    ke::apc::init(m, KApc(apc), thread, ps::create_thread::ldr_init())?;
    ke::apc::insert(m, KApc(apc), 0, 0)?;
    ps::create_thread::force_first_apc(m, thread)?;
    ke::dispatch::unblock(m, thread, None, 0)
}

/// The idle thread has the processor.
fn run_idle(m: &mut Machine, idle: EThread) -> R<()> {
    let tcb = idle.tcb();
    m.set(tcb.priority(), 0)?;
    m.set(tcb.base_priority(), 0)?;
    m.set(tcb.state(), ThreadState::Running)?;
    m.set(tcb.npx_state(), npx::INVALID)?;
    m.set(PCR.current_thread(), Some(idle))?;
    m.set(PCR.idle_thread(), Some(idle))?;
    let top = m.get(tcb.initial_stack())?;
    m.set(THE_TSS.esp0(), top.sub(FX_AREA).0)?;
    m.cpu.set_reg(Reg::Esp, top.sub(FX_AREA).0);
    m.cpu.eip = stubs::kernel().symbol("PsIdleThreadMain").0;
    m.cpu.eflags = flags::ONE | flags::IF;
    m.cpu.cr0 |= control::TS;
    Ok(())
}
