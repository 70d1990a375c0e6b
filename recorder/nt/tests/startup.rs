//! From boot to the first user instruction, and creation.

mod driver;

use contract::{Activity, Kernel, Status, program};
use driver::{Arg, Driver, PERIODS, park};

#[test]
fn booting_leads_init_to_park() {
    for period in PERIODS {
        let driver = Driver::boot(period);
        let init = driver.init();
        let threads = driver.nt.threads(&driver.m);
        let status = threads.iter().find(|status| status.id == init).unwrap();
        assert_eq!(status.activity, Activity::Runnable);
        assert_eq!(status.resume.map(|resume| resume.eip), Some(park().0), "{}", driver.place());
        let order = [
            "PspUserThreadStartup",
            "DbgkCreateThread",
            "KiInitializeUserApc",
            "LdrpInitialize",
            "NtTestAlert",
            "NtContinue",
            "BaseProcessStart",
            "NtSetInformationThread",
        ];
        let seen: Vec<_> = driver.trace.iter().filter(|name| order.contains(name)).copied().collect();
        assert_eq!(seen, order);
    }
}

#[test]
fn a_process_and_its_threads_reach_park() {
    for period in PERIODS {
        let mut driver = Driver::boot(period);
        let app = driver.process("app");
        driver.thread("main", app, 2, &[]);
        driver.thread("worker", app, 0, &[]);
        driver.has("process app state alive");
        driver.has("thread main state running");
        driver.has("thread worker state running");
        let (late, _) = driver.thread("late", app, 1, &[]);
        driver.has("thread late state suspended");
        driver.has("thread late suspend count 1");
        let init = driver.init();
        let (status, out) = driver.call(init, "NtResumeThread", &[Arg::Value(late), Arg::Words(&[9])]);
        assert_eq!((status, out[0][0]), (Some(Status::SUCCESS), 1));
        driver.has("thread late state running");
    }
}

const OK: Option<Status> = Some(Status::SUCCESS);

#[test]
fn creation_checks_its_arguments_in_their_order() {
    for period in PERIODS {
        let mut d = Driver::boot(period);
        let init = d.init();
        let app = d.process("app");
        let context = [0; 0x2CC / 4];
        let teb = [0; 5];
        // Handle, access, attributes, process, ids, CONTEXT, INITIAL_TEB, suspended.
        let mut call = |handle, process, context: Arg, teb: Arg| {
            let args = [
                handle,
                Arg::Value(0),
                Arg::Value(0),
                Arg::Value(process),
                Arg::Value(0),
                context,
                teb,
                Arg::Value(1),
            ];
            d.call(init, "NtCreateThread", &args).0
        };
        let null = call(Arg::Value(8), 0, Arg::Value(0), Arg::Value(8));
        assert_eq!(null, Some(Status::INVALID_PARAMETER), "before anything else");
        let violation = Some(Status::ACCESS_VIOLATION);
        assert_eq!(call(Arg::Value(8), app, Arg::Words(&context), Arg::Words(&teb)), violation);
        assert_eq!(call(Arg::Words(&[0]), app, Arg::Value(0x2000), Arg::Words(&teb)), violation);
        let odd = call(Arg::Words(&[0]), app, Arg::Value(0x2001), Arg::Words(&teb));
        assert_eq!(odd, Some(Status::DATATYPE_MISALIGNMENT));
        let bad = call(Arg::Words(&[0]), 0x0BAD_BAD0, Arg::Words(&context), Arg::Words(&teb));
        assert_eq!(bad, Some(Status::INVALID_HANDLE));
    }
}

/// Pointers that no OBJECT_ATTRIBUTES can be at, and what giving them comes to.
const NOWHERE: [(u32, Status); 6] = [
    (program::DATA.0 + 2, Status::DATATYPE_MISALIGNMENT),
    (0x10, Status::ACCESS_VIOLATION),
    (program::BASE.0 - 4, Status::ACCESS_VIOLATION),
    (program::DATA.0 + 0xFF0, Status::ACCESS_VIOLATION),
    (0xC000_0000, Status::ACCESS_VIOLATION),
    (0xFFDF_0000, Status::ACCESS_VIOLATION),
];

#[test]
fn object_attributes_that_lead_nowhere_make_nothing() {
    let mut d = Driver::boot(0);
    let init = d.init();
    let app = d.process("app");
    let section = d.nt.scene(&d.m).section;
    let before = d.nt.inventory(&d.m);
    for (at, expected) in NOWHERE {
        let (handle, null, bad) = (Arg::Words(&[0]), Arg::Value(0), Arg::Value(0x0BAD_BAD0));
        let (access, at, me) = (Arg::Value(0x1F_0FFF), Arg::Value(at), Arg::Value(u32::MAX));
        let (context, teb) = (Arg::Words(&[0; 0x2CC / 4]), Arg::Words(&[0; 5]));
        let image = Arg::Value(section);
        let thread = [handle, access, at, Arg::Value(app), null, context, teb, null];
        let process = [handle, access, at, me, null, image, null, null, null];
        let mut all = vec![
            ("NtCreateThread", thread.to_vec()),
            ("NtCreateProcessEx", process.to_vec()),
            ("NtCreateProcess", process[..8].to_vec()),
            ("NtCreateEvent", vec![handle, access, at, null, null]),
            ("NtCreateMutant", vec![handle, access, at, null]),
            ("NtCreateSemaphore", vec![handle, access, at, null, Arg::Value(1)]),
            ("NtCreateDebugObject", vec![handle, access, at, null]),
            ("NtOpenSection", vec![handle, access, at]),
            ("NtOpenProcess", vec![handle, access, at, Arg::Words(&[4, 0])]),
            ("NtOpenThread", vec![handle, access, at, Arg::Words(&[4, 0])]),
        ];
        for (name, args) in &all {
            assert_eq!(d.call(init, name, args).0, Some(expected), "{name} {expected:?}");
        }
        // The process comes before the object that is made in it, the section after it.
        all[0].1[3] = bad;
        assert_eq!(d.call(init, "NtCreateThread", &all[0].1).0, Some(Status::INVALID_HANDLE));
        all[1].1[5] = bad;
        assert_eq!(d.call(init, "NtCreateProcessEx", &all[1].1).0, Some(expected));
    }
    assert_eq!(d.nt.inventory(&d.m), before);
    let ids = Arg::Value(program::DATA.0 + 2);
    let args = [Arg::Words(&[0]), Arg::Value(0), Arg::Words(&[0x18, 0, 0, 0, 0, 0]), ids];
    for name in ["NtOpenProcess", "NtOpenThread"] {
        assert_eq!(d.call(init, name, &args).0, Some(Status::DATATYPE_MISALIGNMENT), "{name}");
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    for tag in [b"Thre", b"Obtb", b"Vad ", b"Proc"] {
        for skip in 0..6 {
            let mut d = Driver::boot(0);
            let init = d.init();
            let app = d.process("app");
            d.thread("main", app, 2, &[]);
            let before = d.nt.inventory(&d.m);
            let at = d.nt.image().pool_faults.0;
            for (index, word) in [u32::from_le_bytes(*tag), skip, 1, 0].into_iter().enumerate() {
                d.poke(at + 4 * index as u32, word);
            }
            let (status, handle) = d.try_thread(app, 1, &[]);
            if status == OK {
                assert_eq!(d.simple(init, "NtTerminateThread", &[handle, 0]), OK);
                assert_eq!(d.simple(init, "NtClose", &[handle]), OK);
            } else {
                assert_eq!(d.nt.inventory(&d.m), before, "{tag:?} {skip}: {status:?}");
            }
            let before = d.nt.inventory(&d.m);
            let (status, out) = d.call(init, "CreateProcess", &[Arg::Words(&[0])]);
            if status != OK {
                assert_eq!(d.nt.inventory(&d.m), before, "{tag:?} {skip}: {status:?}");
            } else {
                assert_ne!(out[0][0], 0);
            }
        }
    }
}

#[test]
fn ids_open_what_is_there() {
    for period in PERIODS {
        let mut d = Driver::boot(period);
        let init = d.init();
        let app = d.process("app");
        let (handle, main) = d.thread("main", app, 2, &[]);
        let (process, thread) = d.nt.client_id(&d.m, main).unwrap();
        let mut open = |service, name: u32, ids: Option<[u32; 2]>| {
            let attributes = [0x18, 0, name, 0, 0, 0];
            let at = [Arg::Words(&[0]), Arg::Value(0x1F_0FFF), Arg::Words(&attributes)];
            let [first, second, third] = at;
            let ids_at = ids.as_ref().map_or(Arg::Value(0), |ids| Arg::Words(ids));
            d.call(init, service, &[first, second, third, ids_at]).0
        };
        assert_eq!(open("NtOpenProcess", 0, Some([process, 0])), OK);
        assert_eq!(open("NtOpenProcess", 0, Some([process, thread])), OK);
        assert_eq!(open("NtOpenProcess", 0, Some([0x7FC, 0])), Some(Status::INVALID_PARAMETER));
        assert_eq!(open("NtOpenProcess", 0, Some([process, 0x7FC])), Some(Status::INVALID_CID));
        assert_eq!(open("NtOpenProcess", 1, Some([process, 0])), Some(Status::INVALID_PARAMETER_MIX));
        assert_eq!(open("NtOpenProcess", 0, None), Some(Status::INVALID_PARAMETER_MIX));
        assert_eq!(open("NtOpenThread", 0, Some([process, thread])), OK);
        assert_eq!(open("NtOpenThread", 0, Some([0, thread])), OK);
        assert_eq!(open("NtOpenThread", 0, Some([4, thread])), Some(Status::INVALID_CID));
        assert_eq!(open("NtOpenThread", 0, Some([0, process])), Some(Status::INVALID_PARAMETER));
        // An exited process that somebody still has a handle to opens by its id.
        assert_eq!(d.simple(init, "NtTerminateProcess", &[app, 1]), OK);
        let attributes = [0x18, 0, 0, 0, 0, 0];
        let ids = [process, 0];
        let args = [Arg::Words(&[0]), Arg::Value(1), Arg::Words(&attributes), Arg::Words(&ids)];
        assert_eq!(d.call(init, "NtOpenProcess", &args).0, OK);
        let _ = handle;
    }
}

#[test]
fn a_number_without_a_service_is_refused() {
    let mut d = Driver::boot(0);
    let init = d.init();
    let close = d.nt.image().services["NtClose"];
    for number in [0x000u32, 0x127, 0x140, 0x1000, 0xFFFF] {
        d.bring(init);
        // NtClose's stub with another number: MOV EAX, number at its start.
        let cr3 = d.m.cpu.cr3;
        let back = d.m.cpu.esp();
        d.poke(back - 8, park().0);
        d.poke(back - 4, 0);
        d.m.poke(cr3, close.add(1), &number.to_le_bytes()).unwrap();
        d.m.cpu.set_reg(machine::Reg::Esp, back - 8);
        d.m.cpu.eip = close.0;
        d.settle();
        d.bring(init);
        assert_eq!(Status(d.m.cpu.reg(machine::Reg::Eax)), Status::INVALID_SYSTEM_SERVICE, "{number:X}");
        assert_eq!(d.m.cpu.esp(), back);
    }
}

#[test]
fn create_process_takes_its_flags_from_its_other_arguments() {
    let mut d = Driver::boot(0);
    let init = d.init();
    let section = d.nt.scene(&d.m).section;
    let debug = d.call(
        init,
        "NtCreateDebugObject",
        &[Arg::Words(&[0]), Arg::Value(0x1F_000F), Arg::Value(0), Arg::Value(0)],
    );
    let debug = debug.1[0][0];
    let create = |d: &mut Driver, inherit, section, debug| {
        let args = [
            Arg::Words(&[0]),
            Arg::Value(0x1F_0FFF),
            Arg::Value(0),
            Arg::Value(u32::MAX),
            Arg::Value(inherit),
            Arg::Value(section),
            Arg::Value(debug),
            Arg::Value(0),
        ];
        let (status, out) = d.call(init, "NtCreateProcess", &args);
        assert_eq!(status, OK);
        out[0][0]
    };
    let query = |d: &mut Driver, process, class| {
        let args = [Arg::Value(process), Arg::Value(class), Arg::Words(&[9]), Arg::Value(4), Arg::Value(0)];
        d.call(init, "NtQueryInformationProcess", &args).1[0][0]
    };
    let plain = create(&mut d, 0, section, 0);
    assert_eq!((query(&mut d, plain, 7), query(&mut d, plain, 0x1F)), (0, 1), "no debugger");
    let debugged = create(&mut d, 0, section | 1, debug);
    assert_eq!((query(&mut d, debugged, 7), query(&mut d, debugged, 0x1F)), (u32::MAX, 1));
    // ProcessDebugFlags reads as the opposite of NO_DEBUG_INHERIT.
    let alone = create(&mut d, 0, section, debug | 1);
    assert_eq!((query(&mut d, alone, 7), query(&mut d, alone, 0x1F)), (u32::MAX, 0));
    // An inheritable handle shows in the child when InheritObjectTable says so.
    for inherit in [0, 1] {
        let args = [
            Arg::Value(u32::MAX),
            Arg::Value(section),
            Arg::Value(u32::MAX),
            Arg::Words(&[0]),
            Arg::Value(0),
            Arg::Value(2),
            Arg::Value(2),
        ];
        let copy = d.call(init, "NtDuplicateObject", &args).1[0][0];
        let child = create(&mut d, inherit, section, 0);
        let (id, _) = d.nt.object(&d.m, contract::Owner::Init, child).unwrap();
        let there = d.nt.object(&d.m, contract::Owner::Process(id), copy).is_some();
        assert_eq!(there, inherit != 0);
    }
}
