//! Looks at every state that a model can reach: breadth first, so that the first violation has a shortest way to it.

use std::{
    fmt::Debug,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use indexmap::IndexSet;

/// What can be, and what can follow.
pub(crate) trait Model {
    type State: Clone + Eq + Hash + Debug;

    fn first(&self) -> Self::State;
    /// Every step that may come next, by name.
    fn next(&self, state: &Self::State, step: &mut dyn FnMut(&'static str, Self::State));
    /// The promise that this state breaks.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;
    /// Whether all is over and nothing is left.
    fn is_over(&self, state: &Self::State) -> bool;
}

/// What looking at every state showed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// The longest of the shortest ways.
    pub(crate) depth: usize,
    /// The broken promise, and the way to it.
    pub(crate) violation: Option<(&'static str, Vec<&'static str>)>,
    /// A state from which no way leads to the end, and the way to it.
    pub(crate) stuck: Option<Vec<&'static str>>,
}

struct Seen<S> {
    states: IndexSet<S, BuildHasherDefault<Quick>>,
    /// From where each state was first reached, and by which step.
    from: Vec<(u32, &'static str)>,
    depth: Vec<u16>,
}

impl<S> Seen<S> {
    fn way_to(&self, mut index: usize) -> Vec<&'static str> {
        let mut way = Vec::new();
        while index != 0 {
            let (before, step) = self.from[index];
            way.push(step);
            index = before as usize;
        }
        way.reverse();
        way
    }
}

/// A hasher for states that nobody chooses against us: one multiplication a word.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.unsigned_abs() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// Visits all states, or the first so many; stops at the first violation.
pub(crate) fn explore<M: Model>(model: &M, most: usize) -> Report {
    let first = model.first();
    let mut seen = Seen { states: IndexSet::from_iter([first]), from: vec![(0, "")], depth: vec![0] };
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut report = Report { states: 0, steps: 0, depth: 0, violation: None, stuck: None };
    let mut at = 0;
    while at < seen.states.len() && at < most {
        let state = seen.states[at].clone();
        if let Some(promise) = model.broken(&state) {
            report.violation = Some((promise, seen.way_to(at)));
            break;
        }
        model.next(&state, &mut |name, next| {
            let (index, fresh) = seen.states.insert_full(next);
            let from = u32::try_from(at).expect("fewer than four thousand million states");
            if fresh {
                seen.from.push((from, name));
                seen.depth.push(seen.depth[at] + 1);
            }
            edges.push((u32::try_from(index).expect("as many"), from));
        });
        at += 1;
    }
    (report.states, report.steps) = (seen.states.len(), edges.len());
    report.depth = seen.depth.last().copied().unwrap_or(0).into();
    // What was not looked at could lead on.
    if report.violation.is_none() && at == seen.states.len() {
        report.stuck = stuck(model, &seen, edges).map(|index| seen.way_to(index));
    }
    report
}

/// The first state from which no step after step leads to the end: walks back from all ends.
fn stuck<M: Model>(model: &M, seen: &Seen<M::State>, mut edges: Vec<(u32, u32)>) -> Option<usize> {
    edges.sort_unstable();
    let mut ends: Vec<usize> =
        (0..seen.states.len()).filter(|index| model.is_over(&seen.states[*index])).collect();
    let mut reaches = vec![false; seen.states.len()];
    for index in &ends {
        reaches[*index] = true;
    }
    while let Some(index) = ends.pop() {
        let begin = edges.partition_point(|(to, _)| (*to as usize) < index);
        for (_, from) in edges[begin..].iter().take_while(|(to, _)| *to as usize == index) {
            let from = *from as usize;
            if !std::mem::replace(&mut reaches[from], true) {
                ends.push(from);
            }
        }
    }
    reaches.iter().position(|reaches| !reaches)
}
