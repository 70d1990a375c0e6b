//! What CSRSS is told, when, and what becomes of it when it cannot be told (nt52.md 3.3 step 7, 11.2,
//! 11.4 step 4).

mod driver;

use contract::{Kernel, ObjectKind, Owner, Status};
use driver::{Driver, PERIODS, scene};

const NO_MEMORY: Option<Status> = Some(Status(0xC000_0017));
/// The block that holds a message.
const MESSAGE: &[u8; 4] = b"LpcM";
/// Flags of CreateThread.
const SUSPENDED: u32 = 1;
const FIRST: u32 = 2;
/// TEB.NtTib.Version.
const VERSION: u32 = 0x10;

/// What is in the trace of a list of routines, in its order.
fn order(d: &Driver, of: &[&str]) -> Vec<&'static str> {
    d.trace.iter().copied().filter(|name| of.contains(name)).collect()
}

fn routine(d: &Driver, name: &str) -> u32 {
    d.nt.image().entry(name).unwrap_or_else(|| panic!("no {name}")).0
}

fn go_to(d: &mut Driver, at: u32) {
    for _ in 0..100_000 {
        if d.m.cpu.next().0 == at {
            return;
        }
        d.step_on();
    }
    panic!("never at {at:08X}: {}", d.place());
}

/// Runs up to the next message: its API number, and its two arguments.
fn next_message(d: &mut Driver) -> (u32, [u32; 2]) {
    go_to(d, routine(d, "CsrClientCallServer"));
    let esp = d.m.cpu.esp();
    assert_eq!(d.peek(esp + 12), 8, "bytes of arguments");
    let message = d.peek(esp + 4);
    (d.peek(esp + 8), [d.peek(message + 12), d.peek(message + 16)])
}

#[test]
fn exit_process_tells_between_the_loader_and_its_second_termination() {
    for period in PERIODS {
        let mut s = scene(period);
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.main, "ExitProcess", &[7]), None);
        let of = ["NtTerminateProcess", "LdrShutdownProcess", "CsrClientCallServer", "CsrssRequest"];
        let expected = [
            "NtTerminateProcess",
            "LdrShutdownProcess",
            "CsrClientCallServer",
            "CsrssRequest",
            "NtTerminateProcess",
        ];
        assert_eq!(order(&s.d, &of), expected);
        s.d.has("process app exit status 00000007");
    }
}

#[test]
fn exit_process_gives_the_code() {
    let mut s = scene(0);
    s.d.place_call(s.main, "ExitProcess", &[driver::Arg::Value(0x1234)]);
    assert_eq!(next_message(&mut s.d), (0x1_0003, [0x1234, 0]));
}

#[test]
fn a_process_ends_whatever_csrss_answers() {
    let mut s = scene(0);
    s.d.fail_pool(MESSAGE, 1);
    assert_eq!(s.d.simple(s.main, "ExitProcess", &[7]), None);
    assert_eq!(s.d.fault_count(), 0, "the message was refused");
    s.d.has("process app exit status 00000007");
}

#[test]
fn csrss_hears_of_a_process_before_its_first_thread_may_run() {
    for (flags, expected) in [
        (FIRST, &["NtCreateThread", "CsrClientCallServer", "NtResumeThread"][..]),
        (FIRST | SUSPENDED, &["NtCreateThread", "CsrClientCallServer"][..]),
    ] {
        let mut d = Driver::boot(0);
        let process = d.process("app");
        d.trace.clear();
        d.thread("main", process, flags, &[]);
        assert_eq!(order(&d, &["NtCreateThread", "CsrClientCallServer", "NtResumeThread"]), expected);
    }
}

#[test]
fn the_message_about_a_process_has_its_handles() {
    let mut d = Driver::boot(0);
    let process = d.process("app");
    let init = d.init();
    use driver::Arg::{Value, Words};
    let args = [Value(process), Value(FIRST), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
    d.place_call(init, "CreateThread", &args);
    let (api, [told, thread]) = next_message(&mut d);
    assert_eq!((api, told), (0x1_0000, process));
    let named = d.nt.object(&d.m, Owner::Init, thread).expect("a handle");
    assert_eq!(named.1, ObjectKind::Thread);
}

#[test]
fn a_process_that_csrss_does_not_take_is_terminated_before_it_runs() {
    for period in PERIODS {
        for flags in [FIRST, FIRST | SUSPENDED] {
            let mut d = Driver::boot(period);
            let process = d.process("app");
            let (id, _) = d.nt.client_id(&d.m, d.init()).expect("init has an id");
            let handles = d.count(&format!("handles of {id}"));
            assert_ne!(handles, 0);
            d.fail_pool(MESSAGE, 1);
            d.trace.clear();
            assert_eq!(d.try_thread(process, flags, &[]).0, NO_MEMORY);
            d.has("process app state terminated");
            d.has("process app exit status C0000017");
            assert_eq!(d.count(&format!("handles of {id}")), handles, "the thread's handle is closed");
            let of = ["NtCreateThread", "CsrssRequest", "NtTerminateProcess", "NtClose", "NtResumeThread"];
            assert_eq!(order(&d, &of), ["NtCreateThread", "CsrssRequest", "NtTerminateProcess", "NtClose"]);
            assert!(!d.trace.contains(&"LdrpInitialize"), "it never ran: {:?}", d.trace);
        }
    }
}

#[test]
fn a_later_thread_registers_before_its_start_routine() {
    let mut s = scene(0);
    s.d.trace.clear();
    s.d.thread("first", s.app, 0, &[]);
    let of = ["NtContinue", "BaseThreadStart", "CsrNewThread", "CsrClientCallServer", "CsrssRequest"];
    assert_eq!(order(&s.d, &of), of);
    s.d.has("thread first state running");
    // A thread whose message finds no room starts all the same.
    s.d.fail_pool(MESSAGE, 1);
    s.d.trace.clear();
    s.d.thread("second", s.app, 0, &[]);
    assert_eq!(s.d.fault_count(), 0, "the message was refused");
    assert_eq!(order(&s.d, &of), of);
    s.d.has("thread second state running");
}

#[test]
fn the_message_of_a_later_thread_has_its_ids() {
    let mut s = scene(0);
    let init = s.d.init();
    use driver::Arg::{Value, Words};
    let args = [Value(s.app), Value(0), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
    s.d.place_call(init, "CreateThread", &args);
    let (api, [process, thread]) = next_message(&mut s.d);
    let ids = s.d.nt.client_id(&s.d.m, s.d.nt.current(&s.d.m)).expect("a thread has ids");
    assert_eq!((api, (process, thread)), (1, ids));
}

#[test]
fn a_first_thread_and_one_with_another_tib_do_not_register() {
    let mut d = Driver::boot(0);
    let process = d.process("app");
    d.trace.clear();
    d.thread("main", process, FIRST, &[]);
    assert!(d.trace.contains(&"BaseProcessStart"));
    assert!(!d.trace.contains(&"CsrNewThread"));

    let mut s = scene(0);
    let init = s.d.init();
    use driver::Arg::{Value, Words};
    let args = [Value(s.app), Value(0), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
    s.d.place_call(init, "CreateThread", &args);
    let thunk = s.d.nt_symbol("BaseThreadStartThunk");
    go_to(&mut s.d, thunk);
    let teb = s.d.m.cpu.seg(machine::Seg::Fs).base;
    assert_eq!(s.d.peek(teb + VERSION), 0x1E00);
    s.d.poke(teb + VERSION, 0);
    s.d.trace.clear();
    s.d.settle();
    assert!(s.d.trace.contains(&"BaseThreadStart"));
    assert!(!s.d.trace.contains(&"CsrNewThread"));
}

#[test]
fn the_door_to_csrss_checks_its_pointer() {
    let mut s = scene(0);
    let before = s.d.nt.inventory(&s.d.m);
    let data = contract::program::DATA.0;
    for (at, status) in [
        (data, Status::SUCCESS),
        (data + 2, Status::DATATYPE_MISALIGNMENT),
        (0x7FFE_FFF0, Status::ACCESS_VIOLATION),
        (0xC000_0000, Status::ACCESS_VIOLATION),
        (0x1000, Status::ACCESS_VIOLATION),
        // It can be read, but the answer cannot be written there.
        (0x7FFE_0000, Status::ACCESS_VIOLATION),
    ] {
        assert_eq!(s.d.simple(s.main, "CsrssRequest", &[at]), Some(status), "{at:08X}");
    }
    assert_eq!(s.d.nt.inventory(&s.d.m), before);
}
