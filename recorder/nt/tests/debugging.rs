//! Debug objects and events (nt52.md 10, 13.7).

mod driver;

use contract::{Kernel, Owner, Status};
use driver::{Arg::*, Driver, PERIODS};
use machine::Reg;

const OK: Option<Status> = Some(Status::SUCCESS);
const SELF: u32 = u32::MAX;

/// A debugger `init` and a debuggee with two threads, attached, its first events not read yet.
struct Session {
    d: Driver,
    init: contract::ObjectId,
    debug: u32,
    app: u32,
    main: contract::ObjectId,
    worker: contract::ObjectId,
    worker_handle: u32,
}

fn each_period(flags: u32, test: impl Fn(Session)) {
    for period in PERIODS {
        let mut d = Driver::boot(period);
        let init = d.init();
        let args = [Words(&[0]), Value(0x1F_000F), Value(0), Value(flags)];
        let (status, out) = d.call(init, "NtCreateDebugObject", &args);
        assert_eq!(status, OK);
        let debug = out[0][0];
        let app = d.process("app");
        let (_, main) = d.thread("main", app, 2, &[]);
        let (worker_handle, worker) = d.thread("worker", app, 0, &[]);
        test(Session { d, init, debug, app, main, worker, worker_handle });
    }
}

impl Session {
    fn attach(&mut self) {
        assert_eq!(self.d.simple(self.init, "NtDebugActiveProcess", &[self.app, self.debug]), OK);
    }

    /// The next event: its state, ids and first word; or the status.
    fn event(&mut self) -> Result<(u32, [u32; 2], u32), Status> {
        let args = [Value(self.debug), Value(0), Words(&[0, 0]), Words(&[0; 24])];
        let (status, out) = self.d.call(self.init, "NtWaitForDebugEvent", &args);
        match status {
            OK => Ok((out[1][0], [out[1][1], out[1][2]], out[1][3])),
            other => Err(other.expect("the wait returns")),
        }
    }

    fn go_on(&mut self, ids: [u32; 2], how: Status) -> Option<Status> {
        self.d.call(self.init, "NtDebugContinue", &[Value(self.debug), Words(&ids), Value(how.0)]).0
    }

    /// Reads and continues events until there is none: their states.
    fn drain(&mut self) -> Vec<u32> {
        let mut states = Vec::new();
        while let Ok((state, ids, _)) = self.event() {
            states.push(state);
            assert_eq!(self.go_on(ids, Status::DBG_CONTINUE), OK);
        }
        states
    }
}

#[test]
fn attaching_reports_what_is_there() {
    each_period(0, |mut s| {
        assert_eq!(s.event(), Err(Status::TIMEOUT));
        let own = s.d.simple(s.init, "NtDebugActiveProcess", &[SELF, s.debug]);
        assert_eq!(own, Some(Status::ACCESS_DENIED));
        s.attach();
        s.d.has("process app being debugged yes");
        s.d.has("thread main state suspended");
        let again = s.d.simple(s.init, "NtDebugActiveProcess", &[s.app, s.debug]);
        assert_eq!(again, Some(Status::PORT_ALREADY_SET));
        // CreateProcess, CreateThread, and LoadDll twice.
        let (state, ids, _) = s.event().unwrap();
        assert_eq!(state, 3);
        assert_eq!(s.event(), Err(Status::TIMEOUT), "one event of a process at a time");
        assert_eq!(s.go_on([ids[0], ids[1] + 4], Status::DBG_CONTINUE), Some(Status::INVALID_PARAMETER));
        assert_eq!(s.go_on(ids, Status(0)), Some(Status::INVALID_PARAMETER));
        assert_eq!(s.go_on(ids, Status::DBG_CONTINUE), OK);
        s.d.has("thread main state running");
        assert_eq!(s.drain(), [2, 9, 9]);
        s.d.has("thread worker state running");
        assert_eq!(s.d.count("pool DbgE"), 0);
    });
}

#[test]
fn a_new_thread_is_reported_while_the_others_stand_still() {
    each_period(0, |mut s| {
        s.attach();
        s.drain();
        s.d.thread("late", s.app, 0, &[]);
        s.d.has("thread late state waiting");
        s.d.has("thread main state suspended");
        assert_eq!(s.drain(), [2]);
        s.d.has("thread late state running");
        s.d.has("thread main state running");
    });
}

#[test]
fn exits_are_reported_before_they_can_be_seen() {
    each_period(0, |mut s| {
        s.attach();
        s.drain();
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[u32::MAX - 1, 5]), None);
        s.d.has("thread worker state waiting");
        let (state, ids, status) = s.event().unwrap();
        assert_eq!((state, status), (4, 5));
        assert_eq!(s.go_on(ids, Status::DBG_CONTINUE), OK);
        s.d.has("thread worker exit status 00000005");
        assert_eq!(s.d.simple(s.main, "ExitProcess", &[6]), None);
        s.d.has("process app state alive");
        let (state, ids, status) = s.event().unwrap();
        assert_eq!((state, status), (5, 6));
        assert_eq!(s.go_on(ids, Status::DBG_CONTINUE), OK);
        s.d.has("process app exit status 00000006");
    });
}

#[test]
fn terminating_a_debuggee_empties_its_handles_and_reports_its_end() {
    each_period(0, |mut s| {
        let handle = s.d.give(s.app, s.worker_handle);
        s.attach();
        s.drain();
        let owner = Owner::Process(s.d.named[0].id);
        assert!(s.d.nt.object(&s.d.m, owner, handle).is_some());
        assert_eq!(s.d.simple(s.init, "NtTerminateProcess", &[s.app, 0x1234]), OK);
        assert!(s.d.nt.object(&s.d.m, owner, handle).is_none());
        s.d.has("process app state alive");
        assert_eq!(s.drain(), [4, 5]);
        s.d.has("process app exit status 00001234");
    });
}

#[test]
fn a_second_event_waits_for_the_first_to_be_continued() {
    each_period(0, |mut s| {
        s.d.thread("third", s.app, 0, &[]);
        s.attach();
        s.drain();
        assert_eq!(s.d.simple(s.init, "NtTerminateProcess", &[s.app, 1]), OK);
        let (first, ids, _) = s.event().unwrap();
        assert_eq!(first, 4);
        assert_eq!(s.event(), Err(Status::TIMEOUT));
        assert_eq!(s.go_on(ids, Status::DBG_CONTINUE), OK);
        assert_eq!(s.drain(), [4, 5]);
        s.d.has("process app exit status 00000001");
    });
}

#[test]
fn dbg_terminate_process_takes_the_debugger_off() {
    each_period(0, |mut s| {
        let handle = s.d.give(s.app, s.worker_handle);
        s.attach();
        let owner = Owner::Process(s.d.named[0].id);
        // The handle table is left to the process's own end: what closes it is not this call.
        s.d.trace.clear();
        let status = Status::DBG_TERMINATE_PROCESS.0;
        assert_eq!(s.d.simple(s.init, "NtTerminateProcess", &[s.app, status]), OK);
        assert!(s.d.trace.contains(&"DbgkClearProcessDebugObject"));
        assert!(!s.d.trace.contains(&"ObClearProcessHandleTable"));
        assert!(!s.d.trace.contains(&"DbgkpSendApiMessage"));
        s.d.has("process app exit status 40010004");
        assert!(s.d.nt.object(&s.d.m, owner, handle).is_none());
        assert_eq!(s.event(), Err(Status::TIMEOUT));
        assert_eq!(s.d.count("pool DbgE"), 0);
    });
}

#[test]
fn an_exception_has_two_chances() {
    each_period(0, |mut s| {
        s.attach();
        s.drain();
        s.d.run(s.worker, "breakpoint", 0, 0);
        let (state, ids, code) = s.event().unwrap();
        assert_eq!((state, code), (7, 0x8000_0003));
        assert_eq!(s.go_on(ids, Status::DBG_EXCEPTION_NOT_HANDLED), OK);
        let (state, ids, _) = s.event().unwrap();
        assert_eq!(state, 7);
        assert_eq!(s.go_on(ids, Status::DBG_EXCEPTION_NOT_HANDLED), OK);
        // The exiting threads are reported; then it is over.
        s.drain();
        s.d.has("process app exit status 80000003");
    });
}

#[test]
fn closing_a_bad_handle_raises_an_exception_when_debugged() {
    each_period(0, |mut s| {
        let bad = 0x0BAD_BAD0;
        assert_eq!(s.d.simple(s.worker, "NtClose", &[bad]), Some(Status::INVALID_HANDLE));
        s.attach();
        s.drain();
        for silent in [0, SELF, SELF - 1] {
            assert_eq!(s.d.simple(s.worker, "NtClose", &[silent]), Some(Status::INVALID_HANDLE));
        }
        assert_eq!(s.d.simple(s.worker, "NtClose", &[bad]), None);
        let (state, ids, code) = s.event().unwrap();
        assert_eq!((state, code), (6, Status::INVALID_HANDLE.0));
        assert_eq!(s.go_on(ids, Status::DBG_CONTINUE), OK);
        s.d.bring(s.worker);
        assert_eq!(Status(s.d.m.cpu.reg(Reg::Eax)), Status::INVALID_HANDLE);
    });
}

#[test]
fn the_last_handle_of_a_killing_debug_object_ends_the_debuggee() {
    for kill in [0, 1] {
        each_period(kill, |mut s| {
            s.attach();
            assert_eq!(s.d.simple(s.init, "NtClose", &[s.debug]), OK);
            if kill == 1 {
                s.d.has("process app exit status C0000354");
            } else {
                s.d.has("process app state alive");
                s.d.has("thread main state running");
                assert!(!s.d.view().processes[0].being_debugged);
            }
            assert_eq!((s.d.count("pool DbgE"), s.d.count("pool DbgO")), (0, 0));
        });
    }
}

#[test]
fn removing_the_debugger_lets_everybody_go() {
    each_period(1, |mut s| {
        s.attach();
        s.drain();
        s.d.run(s.worker, "divide", 0, 0);
        s.d.has("thread worker state waiting");
        assert_eq!(s.d.simple(s.init, "NtRemoveProcessDebug", &[s.app, s.debug]), OK);
        let again = s.d.simple(s.init, "NtRemoveProcessDebug", &[s.app, s.debug]);
        assert_eq!(again, Some(Status::PORT_NOT_SET));
        // Nobody handled the exception.
        s.d.has("process app exit status C0000094");
    });
}

#[test]
fn a_hidden_thread_tells_nothing() {
    each_period(0, |mut s| {
        let hide = [Value(u32::MAX - 1), Value(0x11), Value(0), Value(0)];
        assert_eq!(s.d.call(s.worker, "NtSetInformationThread", &hide).0, OK);
        s.attach();
        s.drain();
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[u32::MAX - 1, 5]), None);
        s.d.has("thread worker exit status 00000005");
        assert_eq!(s.event(), Err(Status::TIMEOUT));
    });
}
