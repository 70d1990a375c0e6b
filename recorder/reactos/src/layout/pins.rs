//! Key offsets, held against the numbers of reactos.md 2, typed here a second time.

use super::*;

/// (structure, size, [(field, offset)]).
type Pin = (&'static str, u32, &'static [(&'static str, u32)]);

const PINS: &[Pin] = &[
    ("DISPATCHER_HEADER", 0x10, &[("signal_state", 4), ("wait_list_head", 8)]),
    (
        "KTRAP_FRAME",
        0x8C,
        &[
            ("debug_arg_mark", 8),
            ("dr0", 0x18),
            ("dr7", 0x2C),
            ("gs", 0x30),
            ("edx", 0x3C),
            ("eax", 0x44),
            ("previous_mode", 0x48),
            ("exception_list", 0x4C),
            ("fs", 0x50),
            ("ebp", 0x60),
            ("error_code", 0x64),
            ("eip", 0x68),
            ("cs", 0x6C),
            ("eflags", 0x70),
            ("esp", 0x74),
            ("ss", 0x78),
            ("v86_gs", 0x88),
        ],
    ),
    (
        "KTHREAD",
        0x1B0,
        &[
            ("initial_stack", 0x18),
            ("stack_limit", 0x1C),
            ("teb", 0x20),
            ("kernel_stack", 0x28),
            ("state", 0x2D),
            ("alerted", 0x2E),
            ("npx_state", 0x31),
            ("priority", 0x33),
            ("apc_state", 0x34),
            ("wait_status", 0x50),
            ("wait_block_list", 0x58),
            ("quantum", 0x6B),
            ("wait_block", 0x6C),
            ("kernel_apc_disable", 0xD0),
            ("service_table", 0xDC),
            ("timer", 0xE8),
            ("queue_list_entry", 0x110),
            ("callback_stack", 0x120),
            ("trap_frame", 0x128),
            ("previous_mode", 0x137),
            ("saved_apc_state", 0x140),
            ("apc_queueable", 0x15A),
            ("suspend_apc", 0x160),
            ("suspend_semaphore", 0x190),
            ("thread_list_entry", 0x1A4),
            ("suspend_count", 0x1AD),
        ],
    ),
    (
        "ETHREAD",
        0x258,
        &[
            ("exit_time", 0x1B8),
            ("exit_status", 0x1C8),
            ("termination_port_list", 0x1D8),
            ("unique_process", 0x1EC),
            ("irp_list", 0x218),
            ("has_terminated", 0x230),
            ("threads_process", 0x238),
            ("thread_list_entry", 0x250),
        ],
    ),
    (
        "KPROCESS",
        0x70,
        &[
            ("directory_table_base", 0x18),
            ("ldt_low", 0x20),
            ("iopm_offset", 0x30),
            ("thread_quantum", 0x68),
            ("state", 0x6A),
        ],
    ),
    (
        "EPROCESS",
        0x2F0,
        &[
            ("exit_status", 0x70),
            ("lock_event", 0x74),
            ("lock_count", 0x84),
            ("lock_owner", 0x98),
            ("unique_process_id", 0x9C),
            ("debug_port", 0x118),
            ("handle_table", 0x120),
            ("peb", 0x1B0),
            ("last_thread_exit_status", 0x1BC),
            ("thread_list_head", 0x278),
            ("process_list_entry", 0x2C0),
            ("teb_lock", 0x2C8),
            ("teb_block", 0x2E8),
        ],
    ),
    (
        "KAPC",
        0x30,
        &[
            ("thread", 8),
            ("apc_list_entry", 0x0C),
            ("kernel_routine", 0x14),
            ("normal_routine", 0x1C),
            ("normal_context", 0x20),
            ("apc_state_index", 0x2C),
            ("inserted", 0x2E),
        ],
    ),
    ("KWAIT_BLOCK", 0x18, &[("thread", 8), ("object", 0x0C), ("next_wait_block", 0x10), ("wait_type", 0x16)]),
    ("KTIMER", 0x28, &[("due_time", 0x10), ("timer_list_entry", 0x18), ("period", 0x24)]),
    ("KMUTANT", 0x20, &[("mutant_list_entry", 0x10), ("owner_thread", 0x18), ("abandoned", 0x1C)]),
    ("OBJECT_HEADER", 0x28, &[("ref_count", 0x10), ("handle_count", 0x14), ("object_type", 0x20)]),
    ("CID_OBJECT", 0x34, &[("handle", 4), ("object", 0x30)]),
    ("HANDLE_BLOCK", 0x4000, &[("allocation_count", 0x0C)]),
    (
        "KPCR",
        0x1000,
        &[("this", 0x1C), ("irql", 0x24), ("tss", 0x40), ("current_thread", 0x124), ("npx_thread", 0x2A4)],
    ),
    ("KTSS", 0x2069, &[("esp0", 4), ("ss0", 8), ("io_map_base", 0x66)]),
    ("TEB", 0x1000, &[("this", 0x18), ("peb", 0x30), ("deallocation_stack", 0xE0C)]),
    ("PEB", 0x1000, &[("image_base_address", 8), ("ldr", 0x0C), ("os_build_number", 0xAC)]),
];

#[test]
fn key_offsets_are_the_sheets() {
    let layouts = all();
    for (name, size, fields) in PINS {
        let layout = layouts.iter().find(|layout| layout.name == *name).expect(name);
        assert_eq!(layout.size, *size, "{name}");
        for (field, offset) in *fields {
            let found = layout.fields.iter().find(|info| info.name == *field).expect(field);
            assert_eq!(found.offset, *offset, "{name}.{field}");
        }
    }
}

/// The offsets that executed code uses are the layouts'.
#[test]
fn offsets_in_code_are_the_layouts() {
    use crate::stubs::offset;
    let (thread, process) = (KThread(Va(0)), KProcess(Va(0)));
    let in_thread = [
        (offset::THREAD_TEB, thread.teb().at),
        (offset::THREAD_KERNEL_STACK, thread.kernel_stack().at),
        (offset::THREAD_PROCESS, thread.apc_state().process().at),
        (offset::THREAD_TRAP_FRAME, thread.trap_frame().at),
        (offset::THREAD_PREVIOUS_MODE, thread.previous_mode().at),
        (offset::PROCESS_DIRECTORY, process.directory_table_base().at),
        (offset::PROCESS_LDT, process.ldt_low().at),
        (offset::PROCESS_IOPM, process.iopm_offset().at),
    ];
    for (wired, declared) in in_thread {
        assert_eq!(wired as u32, declared.0);
    }
    let pcr = Kpcr(Va(0));
    assert_eq!(offset::PCR_EXCEPTION_LIST, pcr.exception_list().at.0);
    assert_eq!(offset::PCR_CURRENT_THREAD, pcr.current_thread().at.0);
    assert_eq!(offset::PCR_NPX_THREAD, pcr.npx_thread().at.0);
    let tss = Ktss(Va(0));
    assert_eq!((offset::TSS_ESP0, offset::TSS_IO_MAP_BASE), (tss.esp0().at.0, tss.io_map_base().at.0));
}
