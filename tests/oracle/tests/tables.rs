//! Truth tables: operations on bytes for every operand and every flag that they read, and operations on
//! words and doublewords for every pair of edges, from a loop that the real processor runs natively.
//! Random vectors find a wrong rule; only all of them find a rule that is wrong for one value.
//!
//! The processor's answers are kept in `vectors/tables.txt`, a line for each table: its name, how many
//! answers there are, and their digest (FNV-1a of 64 bits over EAX and the flags of each, undefined flags
//! cleared). Where there is no such processor the machine is held against them. `ORACLE_REAL=write` asks the
//! processor and writes them.

use oracle::{Bytes, CODE, Case, DATA, Emulated, FLAT_CODE, FLAT_DATA, State, decode, undefined};
use std::fmt::Write;
use std::path::PathBuf;

/// Bytes of a row: EAX, ECX, EFLAGS, replaced by what the operation leaves in EAX and EFLAGS.
const ROW: usize = 12;
/// Rows that are run at once; what remains of the two pages of data is the stack.
const ROWS: usize = 640;
const CF: u32 = 1;
const AF: u32 = 0x10;
const STATUS: u32 = 0x8D5;

type Row = [u32; 3];

/// An operation on EAX and ECX, and everything that it is run on.
struct Tabulated {
    name: String,
    code: Vec<u8>,
    rows: Vec<Row>,
}

/// Runs an operation on each row, on either side.
fn program(operation: &[u8]) -> Vec<u8> {
    let mut code = vec![0x8B, 0x06, 0x8B, 0x4E, 0x04, 0xFF, 0x76, 0x08, 0x9D];
    code.extend(operation);
    // pushfd; pop [esi+8]; mov [esi], eax; add esi, 12; cmp esi, ebp; jb; int3
    code.extend([0x9C, 0x8F, 0x46, 0x08, 0x89, 0x06, 0x83, 0xC6, ROW as u8, 0x39, 0xEE, 0x72]);
    code.push(0u8.wrapping_sub(code.len() as u8 + 1));
    code.push(0xCC);
    code
}

fn run(
    rows: &[Row],
    mut judge: impl FnMut([u32; 8], &mut [u8]) -> Result<(), String>,
) -> Result<Vec<Row>, String> {
    let mut answers = Vec::new();
    for rows in rows.chunks(ROWS) {
        let mut data: Vec<u8> = rows.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        let regs = [0, 0, 0, 0, DATA + 0x2000, DATA + (rows.len() * ROW) as u32, DATA, 0];
        judge(regs, &mut data)?;
        let words: Vec<u32> =
            data.chunks_exact(4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])).collect();
        answers.extend(words.chunks_exact(3).map(|row| [row[0], row[1], row[2]]));
    }
    Ok(answers)
}

/// Every value of these, with every one of those.
fn pairs(values: &[u32], others: &[u32], flags: &[u32]) -> Vec<Row> {
    let mut rows = Vec::new();
    for value in values {
        for other in others {
            rows.extend(flags.iter().map(|flags| [*value, *other, flags | 0x202]));
        }
    }
    rows
}

/// Values next to where something carries, borrows, overflows or changes its sign.
fn edges() -> Vec<u32> {
    let mut edges: Vec<u32> =
        [0u32, 0x10, 0x80, 0x100, 0x8000, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0]
            .iter()
            .flat_map(|edge| [edge.wrapping_sub(1), *edge, edge.wrapping_add(1)])
            .collect();
    edges.extend([0x5555_5555, 0xAAAA_AAAA, 0x1234_5678, 0x0F0F_0F0F, 0x8765_4321, 0x0000_8080]);
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn tables() -> Vec<Tabulated> {
    let bytes: Vec<u32> = (0..=255).collect();
    let mut tables = Vec::new();
    let mut add = |name: String, code: &[u8], rows: Vec<Row>| {
        tables.push(Tabulated { name, code: code.to_vec(), rows });
    };
    // AH is what AAA and AAS carry into.
    let with_high: Vec<u32> = [0, 1, 0x7F, 0x80, 0xFF]
        .iter()
        .flat_map(|high| bytes.iter().map(move |low| high << 8 | low))
        .collect();
    for (name, opcode) in [("DAA", 0x27), ("DAS", 0x2F), ("AAA", 0x37), ("AAS", 0x3F)] {
        add(name.into(), &[opcode], pairs(&with_high, &[0], &[0, CF, AF, CF | AF]));
    }
    for base in 0..=255u8 {
        if base != 0 {
            add(format!("AAM {base}"), &[0xD4, base], pairs(&bytes, &[0], &[0]));
        }
        let high: Vec<u32> = with_high.iter().copied().filter(|value| value >> 8 != 0x7F).collect();
        add(format!("AAD {base}"), &[0xD5, base], pairs(&high, &[0], &[0]));
    }
    for (kind, name) in ["ADD", "OR", "ADC", "SBB", "AND", "SUB", "XOR", "CMP"].iter().enumerate() {
        add(format!("{name} AL, CL"), &[kind as u8 * 8, 0xC8], pairs(&bytes, &bytes, &[0, CF]));
        add(format!("{name} EAX, ECX"), &[kind as u8 * 8 + 1, 0xC8], pairs(&edges(), &edges(), &[0, CF]));
        add(format!("{name} AX, CX"), &[0x66, kind as u8 * 8 + 1, 0xC8], pairs(&edges(), &edges(), &[0, CF]));
    }
    add("TEST AL, CL".into(), &[0x84, 0xC8], pairs(&bytes, &bytes, &[0]));
    add("TEST EAX, ECX".into(), &[0x85, 0xC8], pairs(&edges(), &edges(), &[0]));
    add("MUL CL".into(), &[0xF6, 0xE1], pairs(&bytes, &bytes, &[0]));
    add("IMUL CL".into(), &[0xF6, 0xE9], pairs(&bytes, &bytes, &[0]));
    for (name, modrm) in [("NOT", 0xD0u8), ("NEG", 0xD8)] {
        add(format!("{name} AL"), &[0xF6, modrm], pairs(&bytes, &[0], &[0, CF, STATUS]));
        add(format!("{name} EAX"), &[0xF7, modrm], pairs(&edges(), &[0], &[0, CF, STATUS]));
    }
    for (name, modrm, short) in [("INC", 0xC0, 0x40), ("DEC", 0xC8, 0x48)] {
        add(format!("{name} AL"), &[0xFE, modrm], pairs(&bytes, &[0], &[0, CF, STATUS]));
        add(format!("{name} EAX"), &[short], pairs(&edges(), &[0], &[0, CF, STATUS]));
        add(format!("{name} AX"), &[0x66, short], pairs(&edges(), &[0], &[0, CF, STATUS]));
    }
    let counts: Vec<u32> = (0..66).collect();
    for (kind, name) in ["ROL", "ROR", "RCL", "RCR", "SHL", "SHR", "SAL", "SAR"].iter().enumerate() {
        let modrm = 0xC0 | (kind as u8) << 3;
        add(format!("{name} AL, CL"), &[0xD2, modrm], pairs(&bytes, &counts, &[0, CF]));
        add(format!("{name} AX, CL"), &[0x66, 0xD3, modrm], pairs(&edges(), &counts, &[0, CF]));
        add(format!("{name} EAX, CL"), &[0xD3, modrm], pairs(&edges(), &counts, &[0, CF]));
        for count in [1, 4, 31] {
            add(format!("{name} EAX, {count}"), &[0xC1, modrm, count], pairs(&edges(), &[0], &[0, CF]));
        }
    }
    // What a jump makes of the flags of a comparison, which need not have been computed yet.
    for condition in 0..16u8 {
        let code = [0x39, 0xC8, 0xB8, 0, 0, 0, 0, 0x70 | condition, 5, 0xB8, 1, 0, 0, 0];
        add(format!("CMP EAX, ECX and condition {condition:X}"), &code, pairs(&edges(), &edges(), &[0]));
    }
    tables
}

/// Clears the flags that an operation leaves undefined for a row.
fn defined(table: &Tabulated, answers: &mut [Row]) {
    let instruction = decode(&table.code, true);
    let mut start = State {
        regs: [0; 8],
        eip: CODE,
        eflags: 0,
        selectors: [FLAT_DATA, FLAT_CODE, FLAT_DATA, FLAT_DATA, FLAT_DATA, FLAT_DATA],
        x87: None,
        bytes: Bytes(Vec::new()),
    };
    for (row, answer) in table.rows.iter().zip(answers) {
        start.regs[1] = row[1];
        let case = Case { code: table.code.clone(), len: instruction.len(), start };
        let flags = if table.name.contains("condition") { 0 } else { undefined(&instruction, &case).flags };
        answer[2] &= STATUS & !flags;
        start = case.start;
    }
}

fn digest(answers: &[Row]) -> u64 {
    let bytes = answers.iter().flat_map(|row| [row[0], row[2]]).flat_map(u32::to_le_bytes);
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn real() -> Result<oracle::Real, String> {
    oracle::Real::start(&oracle::background().0[oracle::DATA_SIZE as usize..])
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn real() -> Result<Nobody, String> {
    Err("no x86-64 Linux, so no real processor to ask".into())
}

/// Stands for the processor where there is none.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
struct Nobody;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Nobody {
    fn run_table(&mut self, _: &[u8], _: [u32; 8], _: &mut [u8]) -> Result<(), String> {
        Err("nobody answers".into())
    }
}

fn main() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/tables.txt");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let mut real = real();
    if let Err(why) = &real {
        println!("real processor: skipped: {why}; its committed answers are checked instead");
    }
    let emulated = Emulated::default();
    let (mut lines, mut failures, mut answered) = (String::new(), Vec::new(), 0);
    for table in tables() {
        let code = program(&table.code);
        let machine = run(&table.rows, |regs, data| {
            emulated.run_table(&code, regs, data).map_err(|stop| format!("{}: {stop:?}", table.name))
        });
        let mut machine = machine.unwrap_or_else(|why| panic!("{why}"));
        defined(&table, &mut machine);
        let mut judged = machine.clone();
        if let Ok(real) = &mut real {
            judged = run(&table.rows, |regs, data| real.run_table(&code, regs, data))
                .unwrap_or_else(|why| panic!("{}: {why}", table.name));
            defined(&table, &mut judged);
        }
        let wrong = (0..judged.len()).find(|at| judged[*at] != machine[*at]);
        if let Some(at) = wrong {
            let ([eax, ecx, flags], [a, _, b], [c, _, d]) = (table.rows[at], machine[at], judged[at]);
            failures.push(format!(
                "{}: from EAX {eax:08X} ECX {ecx:08X} EFLAGS {flags:03X} to {a:08X}, {b:03X} instead of {c:08X}, {d:03X}",
                table.name
            ));
        }
        answered += judged.len();
        let line = format!("{:32} {:6} {:016X}", table.name, judged.len(), digest(&judged));
        if wrong.is_none()
            && std::env::var_os("ORACLE_REAL").is_none()
            && !kept.lines().any(|known| known == line)
        {
            failures.push(format!("{}: not as the processor's committed answers", table.name));
        }
        writeln!(lines, "{line}").expect("a string can be written to");
    }
    if std::env::var_os("ORACLE_REAL").is_some() {
        real.as_ref().expect("a processor to ask");
        std::fs::write(&path, &lines).expect("the answers can be written");
    }
    println!("{answered} answers in {} tables, {} tables wrong", lines.lines().count(), failures.len());
    let shown: Vec<&String> = failures.iter().take(20).collect();
    assert!(failures.is_empty(), "{shown:#?}");
}
