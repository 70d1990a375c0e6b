//! Random scripts of events that parse, made from the table of verbs: whatever verbs there are, with
//! whatever arguments they take. The same seed gives the same script.

use recorder::verbs::{Argument, Binds, By, Choices, Default, Kind, Verb, table};

/// What every script starts with.
const SCENE: &str = "# Threads do whatever they like.\nprocess app\nprocess other\nthread main in=app\n\
                     thread worker in=app\nthread third in=other\n";

/// Verbs that end much, or stop a thread for long: they come seldom, so that something is left to act.
const SELDOM: &[&str] = &[
    "ExitProcess",
    "ExitThread",
    "NtContinue",
    "NtTerminateProcess",
    "NtTerminateThread",
    "TerminateProcess",
    "TerminateThread",
    "driver apc-counts",
    "driver attach",
    "driver notifications",
    "driver notify",
    "driver remove-apc",
    "driver set-priority",
    "driver set-privilege",
    "driver wait",
    "fault",
    "look first-instruction",
    "look registers",
    "look stack",
    "look teb",
    "process",
    "return",
    "syscall",
];

/// What `init` may do: nothing that ends or stops it, because it sets the scene and clears it away.
const OF_INIT: &[&str] = &[
    "NtAlertThread",
    "NtQueueApcThread",
    "NtResumeProcess",
    "NtResumeThread",
    "NtSuspendProcess",
    "NtSuspendThread",
    "NtTerminateProcess",
    "NtTerminateThread",
];

/// The first line of what clears a script's scene away.
const CLEARING: &str = "pool fail count=0";

/// Numbers by a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    /// Whether something happens that happens once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// A name that a script has bound, and the process in which it means something.
struct Bound {
    name: String,
    process: String,
}

/// A script while it is made.
struct Writer {
    dice: Dice,
    lines: Vec<String>,
    processes: Vec<String>,
    /// Threads and their processes.
    threads: Vec<(String, String)>,
    /// Events, mutants, semaphores and debug objects, with what `Binds` calls them.
    objects: Vec<(String, String)>,
    handles: Vec<Bound>,
    values: Vec<String>,
    names: usize,
}

/// A script of `count` random lines behind a scene. What clears it away again is [`clearing`].
pub fn script(seed: u64, count: usize) -> String {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut writer = Writer {
        dice: Dice(seed),
        lines: Vec::new(),
        processes: owned(&["app", "other"]),
        threads: [("main", "app"), ("worker", "app"), ("third", "other")]
            .map(|(thread, process)| (thread.to_owned(), process.to_owned()))
            .to_vec(),
        objects: Vec::new(),
        handles: Vec::new(),
        values: Vec::new(),
        names: 0,
    };
    while writer.lines.len() < count {
        writer.line(count);
    }
    let lines = writer.lines.join("\n");
    format!("{SCENE}{lines}\n{}", writer.clearing())
}

impl Writer {
    /// Adds a line; two for one that repeats.
    fn line(&mut self, count: usize) {
        let verbs: Vec<&'static Verb> = table().collect();
        let verb = loop {
            let verb = self.dice.pick(&verbs);
            let modifies = ["repeat", "hurry", "stop"].contains(&verb.name);
            let last = self.lines.len() + 1 == count;
            if (!SELDOM.contains(&verb.name) || self.dice.once_in(6)) && !(modifies && last) {
                break verb;
            }
        };
        if verb.name == "repeat" {
            let times = 2 + self.dice.below(6);
            self.lines.push(format!("repeat times={times}"));
            let callable: Vec<&'static Verb> = verbs
                .into_iter()
                .filter(|verb| verb.by != By::World && !SELDOM.contains(&verb.name))
                .collect();
            let verb = self.dice.pick(&callable);
            return self.event(verb);
        }
        self.event(verb);
    }

    /// Adds the line of a verb.
    fn event(&mut self, verb: &'static Verb) {
        let (actor, process) = match verb.by {
            By::Thread if OF_INIT.contains(&verb.name) && self.dice.once_in(5) => {
                ("init".to_owned(), "init".to_owned())
            }
            By::Thread | By::Driver => self.dice.pick(&self.threads),
            By::World => (String::new(), "init".to_owned()),
        };
        let mut words = Vec::new();
        for argument in verb.args {
            let fixed = verb.by == By::Driver && argument.key == "thread";
            let given = match argument.default {
                Default::Required => true,
                Default::Is(_) => self.dice.once_in(2),
                Default::Absent => self.dice.once_in(6),
            };
            if fixed {
                words.push(format!("thread={actor}"));
            } else if given {
                words.extend(self.argument(verb, argument, &process));
            }
        }
        let said = words.join(" ");
        let result = self.result(verb, &words, &process);
        let said = match verb.by {
            By::Thread => format!("{actor} {} {said}", verb.name),
            _ => format!("{} {said}", verb.name),
        };
        self.lines.push(format!("{result}{}", said.trim_end()));
    }

    /// `name = `, where the verb gives something back that can be named.
    fn result(&mut self, verb: &'static Verb, words: &[String], process: &str) -> String {
        let place = words.iter().find_map(|word| word.strip_prefix("in="));
        match verb.binds {
            Binds::Nothing if verb.name == "process" => {
                let name = words[0].clone();
                self.processes.push(name);
                String::new()
            }
            Binds::Nothing if verb.name == "thread" => {
                let process = place.unwrap_or(process).to_owned();
                self.threads.push((words[0].clone(), process));
                String::new()
            }
            Binds::Nothing => String::new(),
            Binds::Value(_) if self.dice.once_in(2) => String::new(),
            Binds::Value(_) => {
                let name = self.fresh();
                self.values.push(name.clone());
                format!("{name} = ")
            }
            Binds::Object(kind) => {
                let name = self.fresh();
                if verb.name == "NtCreateThread" {
                    let target = words.iter().find_map(|word| word.strip_prefix("process="));
                    let target = target.filter(|target| self.processes.iter().any(|known| known == target));
                    self.threads.push((name.clone(), target.unwrap_or(process).to_owned()));
                } else {
                    self.objects.push((name.clone(), format!("{kind:?}")));
                }
                format!("{name} = ")
            }
            Binds::Handle(key) => {
                let name = self.fresh();
                let target = key
                    .and_then(|key| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')));
                let target = target.filter(|target| self.processes.iter().any(|known| known == target));
                let process = target.unwrap_or(process).to_owned();
                self.handles.push(Bound { name: name.clone(), process });
                format!("{name} = ")
            }
        }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    /// An argument as it is written; none where there is nothing to give.
    fn argument(&mut self, verb: &Verb, argument: &Argument, process: &str) -> Option<String> {
        let key = argument.key;
        let value = match argument.kind {
            Kind::NewName => return Some(self.fresh()),
            Kind::Flag => return Some(key.to_owned()),
            Kind::Process => self.dice.pick(&self.processes),
            Kind::Thread => self.dice.pick(&self.threads).0,
            Kind::Object => {
                let objects: Vec<String> = self.objects.iter().map(|(name, _)| name.clone()).collect();
                if objects.is_empty() {
                    return None;
                }
                self.dice.pick(&objects)
            }
            Kind::Handle => self.handle(key, process),
            Kind::Handles => {
                let count = 1 + self.dice.below(3);
                (0..count).map(|_| self.handle(key, process)).collect::<Vec<_>>().join(",")
            }
            Kind::Number if verb.name == "interrupt" => self.dice.below(600).to_string(),
            Kind::Number if key == "count" && verb.name == "pool fail" => self.dice.below(4).to_string(),
            // No VM: virtual-8086 mode is not the machine's business.
            Kind::Number if key == "eflags" => {
                self.dice.pick(&["0", "0x202", "0x302", "0x3202", "0x4202", "0xFFFDFFFF"]).to_owned()
            }
            Kind::Number if key == "priority" => (6 + self.dice.below(4)).to_string(),
            Kind::Number => self.number(),
            Kind::Status => {
                self.dice.pick(&["0", "0x1234", "0xC000004B", "DBG_TERMINATE_PROCESS"]).to_owned()
            }
            Kind::Times => (2 + self.dice.below(6)).to_string(),
            Kind::Bool => self.dice.pick(&["yes", "no"]).to_owned(),
            Kind::Time => self.dice.pick(&["0", "10ms", "30ms", "forever"]).to_owned(),
            Kind::Ticks => self.dice.pick(&["10ms", "30ms", "100ms"]).to_owned(),
            Kind::Address => self.address(),
            Kind::Flags(choices) => {
                let count = 1 + self.dice.below(3);
                (0..count).map(|_| self.word(choices)).collect::<Vec<_>>().join("|")
            }
            Kind::Choice(choices) | Kind::Word(choices) => self.word(choices),
            Kind::Routine => self
                .dice
                .pick(&["KiInitializeUserApc", "KiDeliverApc", "PspExitThread", "NtTestAlert"])
                .to_owned(),
            Kind::Tags => self.dice.pick(&["any", "PsEx,TAPC", "Psap,KAPC", "DbgE", "MmCm,MREG"]).to_owned(),
        };
        Some(format!("{key}={value}"))
    }

    fn word(&mut self, choices: &Choices) -> String {
        self.dice.pick(choices.words).0.to_owned()
    }

    fn number(&mut self) -> String {
        self.dice
            .pick(&["0", "1", "2", "3", "8", "0x10", "0x202", "0x1000", "0x7FFFFFFF", "0xFFFFFFFF"])
            .to_owned()
    }

    fn address(&mut self) -> String {
        if !self.values.is_empty() && self.dice.once_in(2) {
            let value = self.dice.pick(&self.values);
            return if self.dice.once_in(2) { value } else { format!("{value}+0xFF0") };
        }
        self.dice
            .pick(&["entry", "park", "apc", "data", "data+0x10", "NULL", "0x10", "0xC0000000"])
            .to_owned()
    }

    /// A handle that fits its argument most of the time.
    fn handle(&mut self, key: &str, process: &str) -> String {
        // `init` has handles to the system's process and thread: to stop these stops what clears away.
        if process != "init" && self.dice.once_in(12) {
            return self.dice.pick(&["self", "thread", "NULL", "bad", "SystemThread", "4", "8"]).to_owned();
        }
        let of = |kind: &str, writer: &Writer| -> Vec<String> {
            let fits = |object: &&(String, String)| kind == "any" || object.1 == kind;
            writer.objects.iter().filter(fits).map(|(name, _)| name.clone()).collect()
        };
        let threads = || self.threads.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut fitting = match key {
            "process" | "source-process" | "target-process" => self.processes.clone(),
            "thread" | "target" => threads(),
            "event" => of("Event", self),
            "mutant" => of("Mutant", self),
            "semaphore" => of("Semaphore", self),
            "debug" => of("DebugObject", self),
            _ => [of("any", self), threads(), self.processes.clone()].concat(),
        };
        if !key.ends_with("process") {
            let own = self.handles.iter().filter(|bound| bound.process == process);
            fitting.extend(own.map(|bound| bound.name.clone()));
        }
        if fitting.is_empty() { "self".to_owned() } else { self.dice.pick(&fitting) }
    }

    /// Lines with which `init` ends every process and closes what it has named.
    fn clearing(&self) -> String {
        let mut text = format!("{CLEARING}\n");
        for process in &self.processes {
            text.push_str(&format!("init NtTerminateProcess process={process} status=1\n"));
        }
        text.push_str("clock advance=300ms\n");
        let own = self.handles.iter().filter(|bound| bound.process == "init");
        let threads = self.threads.iter().map(|(name, _)| name);
        for name in self.processes.iter().chain(threads).chain(own.map(|bound| &bound.name)) {
            text.push_str(&format!("init NtClose handle={name}\n"));
        }
        text.push_str("clock advance=20ms\n");
        text
    }
}

/// Where the clearing of a script starts: the index of its first line among the events.
pub fn clearing(script: &str) -> usize {
    let events: Vec<&str> = script.lines().filter(|line| !line.starts_with('#')).collect();
    events.iter().rposition(|line| *line == CLEARING).unwrap_or(events.len())
}
