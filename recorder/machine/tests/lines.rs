//! A memory that follows another one is told every line that was written, however it was.

use machine::{Apart, Memory, PAGE, Pa, Page};
use proptest::prelude::*;

const PAGES: u32 = 40;

/// Something that happens to one of two memories.
#[derive(Clone, Debug)]
enum Deed {
    Write {
        frame: u32,
        start: u32,
        bytes: Vec<u8>,
    },
    Word {
        frame: u32,
        word: u32,
        value: u32,
    },
    Page {
        frame: u32,
        byte: u8,
    },
    /// A copy is made, or the last one put back.
    Copy,
    PutBack,
    Forget,
}

/// Something that happens to a memory or to the one behind it.
#[derive(Clone, Debug)]
enum Event {
    Newer(Deed),
    Older(Deed),
    CatchUp,
    /// A third memory catches up with the newer one, or with the older one.
    Third(bool),
}

fn deed() -> impl Strategy<Value = Deed> {
    // Frames of two groups, and the last one.
    let frame = || prop::sample::select(vec![0u32, 1, 31, 32, PAGES - 1]);
    let length = prop_oneof![4 => 0usize..10, 2 => 60usize..70, 1 => 120usize..200, 1 => 4000usize..4097];
    let write = (frame(), 0..PAGE, length, any::<u8>(), any::<bool>()).prop_map(
        |(frame, start, length, byte, late)| {
            let start = if late { PAGE - (length as u32).min(PAGE) } else { start };
            let length = length.min((PAGE - start) as usize);
            Deed::Write { frame, start, bytes: vec![byte; length] }
        },
    );
    let word = (frame(), 0..PAGE / 4, any::<u32>());
    prop_oneof![
        8 => write,
        4 => word.prop_map(|(frame, word, value)| Deed::Word { frame, word, value }),
        1 => (frame(), any::<u8>()).prop_map(|(frame, byte)| Deed::Page { frame, byte }),
        2 => Just(Deed::Copy),
        1 => Just(Deed::PutBack),
        1 => Just(Deed::Forget),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => deed().prop_map(Event::Newer),
        2 => deed().prop_map(Event::Older),
        4 => Just(Event::CatchUp),
        1 => any::<bool>().prop_map(Event::Third),
    ]
}

fn happen(memory: &mut Memory, copy: &mut Memory, deed: &Deed) {
    match deed {
        Deed::Write { frame, start, bytes } => memory.write(Pa(frame * PAGE + start), bytes),
        Deed::Word { frame, word, value } => memory.write_u32(Pa(frame * PAGE + word * 4), *value),
        Deed::Page { frame, byte } => *memory.page_mut(*frame).unwrap() = [*byte; PAGE as usize],
        Deed::Copy => *copy = memory.clone(),
        Deed::PutBack => memory.clone_from(copy),
        Deed::Forget => memory.forget_writes(),
    }
}

fn page(memory: &Memory, frame: u32) -> Page {
    memory.page(frame).copied().unwrap_or([0; PAGE as usize])
}

/// The pages with the lines that differ.
fn differing(new: &Memory, old: &Memory) -> Vec<(u32, u64)> {
    let lines = |frame| {
        let (new, old) = (page(new, frame), page(old, frame));
        if new == old {
            return 0;
        }
        (0..PAGE as usize)
            .filter(|at| new[*at] != old[*at])
            .fold(0, |lines, at| lines | 1 << (at / Apart::LINE))
    };
    (0..PAGES).map(|frame| (frame, lines(frame))).filter(|(_, lines)| *lines != 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_differs_is_told(events in prop::collection::vec(event(), 1..40)) {
        let (mut newer, mut older, mut third) = (Memory::new(PAGES), Memory::new(PAGES), Memory::new(PAGES));
        let mut copy = Memory::new(PAGES);
        for event in &events {
            match event {
                Event::Newer(deed) => happen(&mut newer, &mut copy, deed),
                Event::Older(deed) => happen(&mut older, &mut copy, deed),
                Event::CatchUp => {
                    older.catch_up(&mut newer);
                    prop_assert_eq!(differing(&newer, &older), []);
                }
                Event::Third(true) => third.catch_up(&mut newer),
                Event::Third(false) => third.catch_up(&mut older),
            }
            let told: Vec<_> = newer.apart(&older).map(|page| (page.frame, page.lines)).collect();
            prop_assert!(told.is_sorted_by_key(|(frame, _)| *frame));
            for (frame, lines) in differing(&newer, &older) {
                let page = told.iter().find(|(known, _)| *known == frame);
                prop_assert!(page.is_some_and(|(_, told)| told & lines == lines), "{frame}: {lines:X} of {page:X?}");
            }
        }
    }
}

#[test]
fn what_was_not_written_is_not_told_however_long_it_is_followed() {
    let mut newer = Memory::new(PAGES);
    for frame in 0..PAGES {
        newer.write(Pa(frame * PAGE), &[1; PAGE as usize]);
    }
    let mut older = Memory::new(PAGES);
    older.catch_up(&mut newer);
    let told = |newer: &Memory, older: &Memory| -> Vec<_> {
        newer.apart(older).map(|page| (page.frame, page.lines)).collect()
    };
    for round in 0..4 {
        assert_eq!(told(&newer, &older), [], "round {round}");
        older.write(Pa(20 * PAGE + 4095), &[round as u8; 1]);
        assert_eq!(told(&newer, &older), [(20, 1 << 63)], "what the one behind has written itself");
        older.catch_up(&mut newer);
        assert_eq!(told(&newer, &older), [], "round {round}");
        newer.write_u32(Pa(3 * PAGE + 63), round);
        newer.write(Pa(20 * PAGE + 130), &[round as u8; 200]);
        let marked = [(3, 0b11), (20, 0b111_1100)];
        assert_eq!(told(&newer, &older), marked, "a small write is told with the line behind it");
        assert_eq!(newer.changed(&older), [3, 20]);
        older.catch_up(&mut newer);
    }
    let other = newer.clone();
    newer.write(Pa(3 * PAGE), &[9]);
    assert_eq!(told(&newer, &other), [(3, u64::MAX)], "a copy follows nobody");
}

#[test]
fn a_copy_of_what_has_forgotten_its_writes_is_followed_without_them() {
    let mut before = Memory::new(PAGES);
    before.write(Pa(3 * PAGE), &[1; PAGE as usize]);
    before.forget_writes();
    let (mut newer, mut older) = (before.clone(), Memory::new(PAGES));
    older.catch_up(&mut newer);
    newer.write(Pa(3 * PAGE + 200), &[2]);
    let told: Vec<_> = newer.apart(&older).map(|page| (page.frame, page.lines)).collect();
    assert_eq!(told, [(3, 0b1_1000)]);
}
