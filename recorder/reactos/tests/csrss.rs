//! Ports and CSRSS: reactos.md 4.6, 9.5, 10.6, 11.3.

mod common;

use common::{Came, Driver, Made};
use contract::{Kernel, Named, ObjectKind, Owner, program};
use reactos::Variant;

const PERIODS: [Option<u64>; 4] = [None, Some(37), Some(73), Some(127)];
/// The first handle of a process whose thread has begun: its port to CSRSS.
const PORT: u32 = 4;

fn app(driver: &mut Driver) -> (Made, Made) {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    (app, main)
}

#[test]
fn csrss_reacts_to_the_close_of_the_port_and_not_to_the_message() {
    for period in PERIODS {
        for how in ["ExitProcess", "TerminateProcess"] {
            let mut driver = Driver::boot(Variant::Article, period);
            let (threads, data) = (driver.inventory("threads"), driver.inventory("pool CSRP"));
            let (app, main) = app(&mut driver);
            // Told by the creator; connected by the process itself.
            assert_eq!(driver.inventory("pool CSRP"), data + 1);
            assert_eq!(driver.inventory("threads"), threads + 2);
            let (port, kind) = driver.kernel.object(&driver.m, Owner::Process(app.id), PORT).unwrap();
            assert_eq!(kind, ObjectKind::Port);
            driver.named.push(Named { name: "port".to_owned(), kind, id: port });
            let args: &[u32] = if how == "ExitProcess" { &[1] } else { &[u32::MAX, 1] };
            assert_eq!(driver.call(main.id, how, args), Came::Ended);
            let told = driver.entered.iter().filter(|(name, _)| *name == "NtRequestWaitReplyPort").count();
            assert_eq!(told, if how == "ExitProcess" { 2 } else { 1 });
            assert_eq!(driver.inventory("pool CSRP"), data, "{how} {period:?}");
            assert_eq!(driver.view().objects[0].state, "deleted");
            // init's handle keeps the thread's object; CSRSS's own is gone.
            assert_eq!(driver.inventory("threads"), threads + 1);
            assert_eq!(driver.inventory("pool LPCM"), 0);
        }
    }
}

#[test]
fn a_message_to_csrss_changes_nothing() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (app, main) = app(&mut driver);
    let data = driver.inventory("pool CSRP");
    let message = program::DATA.0 + 0x100;
    // CSRSS_TERMINATE_PROCESS, by a process that goes on.
    driver.set_data(app.id, 0x118, &[1, 0]);
    let args = [PORT, message, message];
    assert_eq!(driver.call(main.id, "NtRequestWaitReplyPort", &args), Came::Returned(0));
    assert_eq!(driver.data(app.id, 0x118), 0);
    assert_eq!(driver.inventory("pool CSRP"), data);
    // init was made by nobody who told CSRSS: it is an unknown client.
    let (init, thread) = driver.init();
    let port = (1..40).map(|index| 4 * index).find(|handle| {
        let found = driver.kernel.object(&driver.m, Owner::Init, *handle);
        found.is_some_and(|(_, kind)| kind == ObjectKind::Port)
    });
    driver.set_data(init, 0x118, &[1, 0]);
    let args = [port.unwrap(), message, message];
    assert_eq!(driver.call(thread, "NtRequestWaitReplyPort", &args), Came::Returned(0));
    assert_eq!(driver.data(init, 0x118), 0xC000_000D);
}

#[test]
fn without_its_port_a_process_does_not_begin() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let slot = driver.kernel.image().pool_faults;
    let tag = u32::from_le_bytes(*b"PORT");
    for (index, word) in [tag, 0, 1, 0].into_iter().enumerate() {
        driver.m.poke(driver.m.cpu.cr3, slot.add(4 * index as u32), &word.to_le_bytes()).unwrap();
    }
    driver.thread("main", app, 2, &[]);
    assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 0xC000_0142);
}

#[test]
fn termination_ports_are_never_told_and_lost() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (app, main) = app(&mut driver);
    let worker = driver.thread("worker", app, 0, &[]);
    let ports = |driver: &Driver| (driver.inventory("pool None"), driver.inventory("references to ports"));
    let before = ports(&driver);
    assert_eq!(driver.call(worker.id, "NtRegisterThreadTerminatePort", &[8]), Came::Returned(0xC000_0008));
    assert_eq!(driver.call(worker.id, "NtRegisterThreadTerminatePort", &[PORT]), Came::Returned(0));
    assert_eq!(ports(&driver), (before.0 + 1, before.1 + 1));
    assert_eq!(driver.call(worker.id, "NtTerminateThread", &[u32::MAX - 1, 0]), Came::Ended);
    assert_eq!(ports(&driver), (before.0 + 1, before.1 + 1));
    // And the port, which now has a reference too many, is not told of its close either.
    let data = driver.inventory("pool CSRP");
    assert_eq!(driver.call(main.id, "ExitProcess", &[0]), Came::Ended);
    assert_eq!(driver.inventory("pool CSRP"), data);
}

/// A process with the port of init to CSRSS as its debug and its exception port.
fn with_ports(driver: &mut Driver, name: &str) -> Made {
    let (init, thread) = driver.init();
    let section = driver.kernel.scene(&driver.m).section;
    let handles = (1..40).map(|index| 4 * index);
    let port = handles
        .into_iter()
        .find(|handle| {
            let found = driver.kernel.object(&driver.m, Owner::Init, *handle);
            found.is_some_and(|(_, kind)| kind == ObjectKind::Port)
        })
        .unwrap();
    let args = [program::DATA.0, 0x1F_0FFF, 0, u32::MAX, 0, section, port, port];
    assert_eq!(driver.call(thread, "NtCreateProcess", &args), Came::Returned(0));
    let handle = driver.data(init, 0);
    let (id, kind) = driver.kernel.object(&driver.m, Owner::Init, handle).unwrap();
    driver.named.push(Named { name: name.to_owned(), kind, id });
    Made { id, handle }
}

#[test]
fn a_process_with_an_exception_port_dies_of_a_bad_close() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = with_ports(&mut driver, "app");
        let main = driver.thread("main", app, 2, &[]);
        assert_eq!(driver.call(main.id, "NtClose", &[0x0BAD_BAD0]), Came::Ended);
        assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 0xC000_0008);
    }
}

#[test]
fn the_creators_debug_port_hears_of_new_threads() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = with_ports(&mut driver, "app");
        let main = driver.thread("main", app, 2, &[]);
        // init made that thread, and has no debug port.
        let told = |driver: &Driver| driver.trace.iter().filter(|t| **t == ("DbgkCreateThread", 1)).count();
        assert_eq!(told(&driver), 0);
        // It is the maker's port that is asked.
        let data = program::DATA.0;
        let args = [u32::MAX, 1, data + 0x100, 0, data, data + 8];
        assert_eq!(driver.call(main.id, "CreateThread", &args), Came::Returned(0));
        assert_eq!(told(&driver), 1);
        assert_eq!(driver.inventory("pool LPCM"), 0);
    }
}

#[test]
fn a_port_of_the_wrong_type_undoes_the_process() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (init, thread) = driver.init();
    let processes = driver.inventory("processes");
    let args = [program::DATA.0, 0x1F_0FFF, 0, u32::MAX, 0, 0, u32::MAX - 1, 0];
    driver.set_data(init, 0, &[0x5555]);
    assert_eq!(driver.call(thread, "NtCreateProcess", &args), Came::Returned(0xC000_0024));
    assert_eq!(driver.data(init, 0), 0);
    assert_eq!(driver.inventory("processes"), processes);
}
