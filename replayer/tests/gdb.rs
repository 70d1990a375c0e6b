//! `tandem gdb` with the real gdb, from scripts; and with what is no gdb at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const CASE: &str = "# A thread ends another.\nprocess app\nthread main in=app\nthread worker in=app\n\
                    main NtTerminateThread thread=worker status=1\n";

/// A `tandem gdb` that waits for a connection.
struct Session {
    folder: TempDir,
    tandem: Child,
    address: String,
}

impl Session {
    fn start(kernel: &str, more: &[&str]) -> Session {
        Session::of(CASE, kernel, more)
    }

    fn of(case: &str, kernel: &str, more: &[&str]) -> Session {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("x.case"), case).expect("a case");
        let mut tandem = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["gdb", "x.case", "--kernel", kernel, "--port", "0"])
            .args(more)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tandem starts");
        let mut lines = BufReader::new(tandem.stdout.take().expect("an output")).lines();
        let address = lines.find_map(|line| {
            let line = line.expect("text");
            Some(line.split_once("target remote ")?.1.trim_end_matches('\'').to_owned())
        });
        Session { folder, tandem, address: address.expect("the command for gdb is printed") }
    }

    fn symbols(&self, kernel: &str) -> PathBuf {
        self.folder.path().join(format!("{kernel}.elf"))
    }

    /// Runs gdb's commands; what gdb printed. None, and said so, where there is no gdb.
    fn gdb(mut self, kernel: &str, script: &str) -> Option<String> {
        let text = format!(
            "set pagination off\nset confirm off\nset width 0\nfile {}\ntarget remote {}\n{script}\ndetach\n",
            self.symbols(kernel).display(),
            self.address
        );
        let path = self.folder.path().join("script.gdb");
        std::fs::write(&path, text).expect("a script");
        if Command::new("gdb").arg("--version").output().is_err() {
            // Past the capture of tests that pass: whoever reads it must see that nothing was tested.
            writeln!(std::io::stderr(), "skipped: no gdb").expect("stderr");
            self.tandem.kill().expect("tandem can be stopped");
            self.tandem.wait().expect("it ends");
            return None;
        }
        // What the stub says itself comes on the error stream, and belongs between the rest.
        let mut gdb = Command::new("sh");
        gdb.args(["-c", "exec gdb -nx -q -batch -x \"$0\" 2>&1"]).arg(&path);
        let output = gdb.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = self.tandem.wait().expect("it ends with gdb");
        assert_eq!(status.code(), Some(0), "{said}");
        Some(said)
    }
}

/// The text between the lines `== name` and `== ` of what a script echoed.
fn part(said: &str, name: &str) -> String {
    let from = said.split_once(&format!("== {name}\n")).unwrap_or_else(|| panic!("no {name} in:\n{said}")).1;
    from.split("== ").next().unwrap_or(from).to_owned()
}

#[track_caller]
fn has(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "`{wanted}` is missing in:\n{text}");
}

/// Breaks at the thread-start stub, steps into user mode, and back into the kernel.
fn into_user_mode_and_back(kernel: &str, stub: &str) {
    let script = format!(
        "break *{stub}
echo == stub\\n
continue
print $cs
info threads
monitor where
echo == user\\n
while ($cs & 3) == 0
stepi
end
print $cs
x/i $pc
echo == back\\n
reverse-stepi
print $cs
x/i $pc
echo == again\\n
stepi
print $cs
echo == start\\n
reverse-continue
print $pc"
    );
    let Some(said) = Session::start(kernel, &[]).gdb(kernel, &script) else { return };
    let at_stub = &part(&said, "stub");
    has(at_stub, "hit Breakpoint 1");
    has(at_stub, &format!("in {stub} ()"));
    has(at_stub, "= 8\n");
    has(at_stub, "(main, current)");
    has(at_stub, "(init, ");
    has(at_stub, "(SystemThread, ");
    has(at_stub, "event 2 of 4, line 3: thread main in=app");
    has(&part(&said, "user"), "= 27\n");
    let back = &part(&said, "back");
    has(back, "= 8\n");
    has(back, "iret");
    has(&part(&said, "again"), "= 27\n");
    let start = &part(&said, "start");
    has(start, "hit Breakpoint 1");
    has(start, &format!("<{stub}>"));
}

#[test]
fn gdb_steps_from_the_start_stub_into_user_mode_and_back_on_nt() {
    into_user_mode_and_back("nt", "KiThreadStartup");
}

#[test]
fn gdb_steps_from_the_start_stub_into_user_mode_and_back_on_reactos() {
    into_user_mode_and_back("reactos", "PsBeginThreadWithContextInternal");
}

#[test]
fn gdb_walks_stacks_through_native_routines_and_catches_writes_both_ways() {
    let script = "hbreak *PspExitThread
continue
echo == stack\\n
backtrace
delete
watch *(int*)($esp-4)
echo == write\\n
continue
echo == unwrite\\n
reverse-continue
delete
echo == end\\n
continue
echo == begin\\n
reverse-continue
print $event
print $retired";
    let Some(said) = Session::start("nt", &["--at", "4"]).gdb("nt", script) else { return };
    let stack = part(&said, "stack");
    let frames = ["in PspExitThread ()", "in PsExitSpecialApc ()", "in KiDeliverApc ()"];
    let places = frames.map(|frame| stack.find(frame).unwrap_or_else(|| panic!("{frame} in:\n{stack}")));
    assert!(places.is_sorted(), "{stack}");
    let changed = |text: &str| {
        let value = |name: &str| {
            text.split_once(name).unwrap_or_else(|| panic!("{text}")).1.lines().next().unwrap().to_owned()
        };
        (value("Old value = "), value("New value = "))
    };
    let (old, new) = changed(&part(&said, "write"));
    assert_ne!(old, new);
    assert_eq!(changed(&part(&said, "unwrite")), (new, old), "going back takes the write back");
    has(&part(&said, "end"), "No more reverse-execution history");
    let begin = &part(&said, "begin");
    has(begin, "No more reverse-execution history");
    has(begin, "= 0\n");
}

#[test]
fn gdb_catches_reads_by_native_routines_and_by_instructions_both_ways() {
    // A native routine reads its argument; RET reads where it goes back to.
    let script = "break *PspExitThread
continue
delete
rwatch -location *(int*)($esp+4)
continue
echo == native\\n
monitor where
reverse-stepi
print $pc == PspExitThread
delete
break *KiFastSystemCallRet
reverse-continue
delete
awatch -location *(int*)$esp
echo == access\\n
continue
echo == back\\n
reverse-continue
x/i $pc";
    let Some(said) = Session::start("nt", &["--at", "4"]).gdb("nt", script) else { return };
    let native = part(&said, "native");
    has(&said, "Hardware read watchpoint 2: -location *(int*)($esp+4)");
    has(&native, "event 4 of 4, line 5: main NtTerminateThread thread=worker status=1");
    has(&native, "= 1\n");
    has(&part(&said, "access"), "Hardware access (read/write) watchpoint 4: -location *(int*)$esp");
    let back = part(&said, "back");
    has(&back, "Hardware access (read/write) watchpoint 4: -location *(int*)$esp");
    has(&back, "ret");
}

/// The next packet that comes, without the signs around it.
fn packet(connection: &mut BufReader<TcpStream>) -> String {
    let mut bytes = Vec::new();
    connection.read_until(b'#', &mut bytes).expect("a packet");
    let mut sum = [0; 2];
    connection.read_exact(&mut sum).expect("its sum");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split_once('$').expect("it begins").1.trim_end_matches('#').to_owned()
}

#[test]
fn ctrl_c_ends_the_way_back_as_well_as_the_way_on() {
    let long = "repeat times=300\nmain NtYieldExecution\n";
    for (command, from, end) in [("$bc#c5", "6+999999", "begin"), ("$vCont;c#a8", "0", "end")] {
        let mut session = Session::of(&format!("{CASE}{long}"), "nt", &["--at", from]);
        let mut connection = TcpStream::connect(&session.address).unwrap();
        let mut answers = BufReader::new(connection.try_clone().unwrap());
        connection.write_all(b"+").unwrap();
        // Ctrl-C comes as one byte; it is there before the first look at whether it is.
        connection.write_all(format!("{command}\x03").as_bytes()).unwrap();
        let stopped = packet(&mut answers);
        assert!(stopped.starts_with("T02"), "{command}: {stopped}");
        connection.write_all(format!("+{command}").as_bytes()).unwrap();
        let stopped = packet(&mut answers);
        assert!(stopped.contains(&format!("replaylog:{end}")), "{command}: {stopped}");
        connection.write_all(b"+$D#44").unwrap();
        assert_eq!(session.tandem.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn gdb_is_refused_to_write() {
    let script = "echo == place\\n
monitor where
echo == memory\\n
print *(int*)$pc
set variable *(int*)$pc = 77
print *(int*)$pc != 77
echo == registers\\n
print $eax = 77
maint flush register-cache
print $eax != 77
";
    // gdb ends a script at a command that fails, but not at one that Python catches.
    let guarded: String = script
        .lines()
        .map(|line| match line.starts_with("echo") {
            true => format!("{line}\n"),
            false => format!("python\ntry:\n    gdb.execute('''{line}''')\nexcept gdb.error as error:\n    print(error)\nend\n"),
        })
        .collect();
    let Some(said) = Session::start("nt", &["--at", "3+7"]).gdb("nt", &guarded) else { return };
    has(&part(&said, "place"), "event 3 of 4, line 4: thread worker in=app; 3+7, step 7, ");
    has(&part(&said, "memory"), "Cannot access memory");
    has(&part(&said, "memory"), "= 1\n");
    has(&part(&said, "registers"), "Could not write registers");
    has(&part(&said, "registers"), "= 1\n");
}

/// Everything there is to read, until the other side ends the connection.
fn rest(mut connection: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Whether it ends in order or not does not matter here.
    let _ = connection.read_to_end(&mut bytes);
    bytes
}

#[test]
fn the_port_is_on_the_loopback_interface_and_takes_one_gdb() {
    let mut session = Session::start("nt", &[]);
    let address = session.address.to_socket_addrs().unwrap().next().unwrap();
    assert!(address.ip().is_loopback(), "{address}");
    let mut connection = TcpStream::connect(address).unwrap();
    // Asks for the registers, and goes.
    connection.write_all(b"+$?#3f+$D#44").unwrap();
    rest(connection);
    assert_eq!(session.tandem.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_no_gdb_ends_the_session_without_a_panic() {
    let packets: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"$G#00",
        b"+$mffffffff,ffffffff#00+$m0,fffffff#2a",
        &[0xFF; 10_000],
        b"+$vCont;s:ffffffffffffffffffffffff;c#00",
    ];
    for packet in packets {
        let mut session = Session::start("reactos", &[]);
        let mut connection = TcpStream::connect(&session.address).unwrap();
        let _ = connection.write_all(packet);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        rest(connection);
        let status = session.tandem.wait().unwrap();
        let mut said = String::new();
        session.tandem.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(matches!(status.code(), Some(0 | 2)) && !said.contains("panicked"), "{status}: {said}");
    }
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_tandem")).args(args).current_dir(folder).output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

#[test]
fn bad_usage_is_refused_and_no_foreign_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.case"), CASE).unwrap();
    std::fs::write(folder.path().join("mine.elf"), "mine").unwrap();
    let here = folder.path();
    let gdb = ["gdb", "x.case", "--kernel", "nt", "--port", "0"];
    has(&refused(here, &[&gdb[..], &["--at", "x"]].concat()), "EVENT or EVENT+N");
    has(&refused(here, &[&gdb[..], &["--at", "5"]].concat()), "x has 4 events; there is no event 5");
    has(
        &refused(here, &[&gdb[..], &["--symbols", "mine.elf"]].concat()),
        "mine.elf: is there already, and is no file of symbols",
    );
    assert_eq!(std::fs::read_to_string(here.join("mine.elf")).unwrap(), "mine");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    has(&refused(here, &["gdb", "x.case", "--kernel", "nt", "--port", &port]), "choose another with --port");
}
