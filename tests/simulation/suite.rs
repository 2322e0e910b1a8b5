//! The tests: many seeds, the same seed twice, and each guard taken away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    faults::Fault,
    guards::Guard,
    ledger::{Invariant, Violation},
    run::{Outcome, run},
};

/// What CI plays; `cargo xtask prove simulation` plays more.
const SEEDS: u64 = 500;
/// Within so many seeds the absence of a guard must show.
const MUTANT_SEEDS: u64 = 400;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn told(seed: u64, violation: &Violation, trace: &[String]) -> String {
    format!(
        "seed {seed} breaks {:?}: {}\n{}\nplay it again with DRAWBRIDGE_SIM_SEED={seed}",
        violation.invariant,
        violation.what,
        trace.join("\n"),
    )
}

/// Plays seeds on every core until `stop` says so; calls it with each seed's outcome.
fn play(seeds: u64, off: Option<Guard>, stop: impl Fn(u64, &Outcome) -> bool + Sync) {
    let (next, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || over.load(Ordering::Relaxed) > 0 {
                        return;
                    }
                    if stop(seed, &run(seed, off)) {
                        over.store(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

#[derive(Default)]
struct Total {
    seeds: u64,
    events: u64,
    crashes: u64,
    hours: f64,
    ends: (u64, u64, u64),
    dealt: BTreeMap<(&'static str, Fault), u64>,
    failed: Vec<(u64, Violation, Vec<String>)>,
}

impl Total {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.events += outcome.trace.len() as u64;
        self.crashes += outcome.crashes;
        self.hours += outcome.virtual_time.as_secs_f64() / 3600.0;
        self.ends.0 += outcome.ends.0;
        self.ends.1 += outcome.ends.1;
        self.ends.2 += outcome.ends.2;
        for (call, count) in &outcome.dealt {
            *self.dealt.entry(*call).or_default() += count;
        }
        if let Some(violation) = &outcome.violation {
            self.failed.push((seed, violation.clone(), outcome.trace.clone()));
        }
    }

    /// The figures as `docs/evidence/simulation.md` shows them.
    fn table(&self, seconds: f64) -> String {
        let mut text = String::from("| figure | value |\n|---|---|\n");
        let mut row = |name: &str, value: String| writeln!(text, "| {name} | {value} |").unwrap();
        row("seeds", self.seeds.to_string());
        row("virtual hours", format!("{:.0}", self.hours));
        row("events in the traces", self.events.to_string());
        row("jobs complete", self.ends.0.to_string());
        row("jobs failed", self.ends.1.to_string());
        row("sessions abandoned", self.ends.2.to_string());
        row("controllers killed", self.crashes.to_string());
        row("faults", self.dealt.values().sum::<u64>().to_string());
        row("seconds", format!("{seconds:.1}"));
        row("seeds a second", format!("{:.0}", self.seeds as f64 / seconds));
        text.push_str(&self.matrix());
        text
    }

    /// Every external call by every kind of fault.
    fn matrix(&self) -> String {
        let calls: std::collections::BTreeSet<&str> = self.dealt.keys().map(|(call, _)| *call).collect();
        let kinds: std::collections::BTreeSet<Fault> = self.dealt.keys().map(|(_, fault)| *fault).collect();
        let mut text = String::from("\n| call |");
        for kind in &kinds {
            write!(text, " {kind:?} |").unwrap();
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(kinds.len()));
        for call in calls {
            write!(text, "\n| {call} |").unwrap();
            for kind in &kinds {
                write!(text, " {} |", self.dealt.get(&(call, *kind)).copied().unwrap_or(0)).unwrap();
            }
        }
        text.push('\n');
        text
    }
}

#[test]
fn whatever_goes_wrong_every_promise_holds() {
    if let Some(seed) = variable("DRAWBRIDGE_SIM_SEED") {
        let off = std::env::var("DRAWBRIDGE_SIM_WITHOUT").ok();
        let off = Guard::ALL.iter().find(|guard| off.as_deref() == Some(&format!("{guard:?}"))).copied();
        let outcome = run(seed, off);
        println!("{}", outcome.trace.join("\n"));
        assert!(outcome.violation.is_none(), "{}", told(seed, &outcome.violation.unwrap(), &[]));
        return;
    }
    let seeds = variable("DRAWBRIDGE_SIM_SEEDS").unwrap_or(SEEDS);
    let (total, begun) = (Mutex::new(Total::default()), Instant::now());
    play(seeds, None, |seed, outcome| {
        let mut total = total.lock().unwrap();
        total.add(seed, outcome);
        total.failed.len() >= 20
    });
    let mut total = total.into_inner().unwrap();
    println!("{}", total.table(begun.elapsed().as_secs_f64()));
    if let Some(path) = std::env::var_os("DRAWBRIDGE_SIM_TABLE") {
        std::fs::write(path, total.table(begun.elapsed().as_secs_f64())).unwrap();
    }
    total.failed.sort_by_key(|(seed, ..)| *seed);
    for (seed, violation, _) in &total.failed {
        println!("seed {seed} breaks {:?}: {}", violation.invariant, violation.what);
    }
    if let Some((seed, violation, trace)) = total.failed.first() {
        panic!("{}", told(*seed, violation, trace));
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 0..20 {
        let (once, again) = (run(seed, None), run(seed, None));
        let differs = once.trace.iter().zip(&again.trace).position(|(one, other)| one != other);
        if let Some(line) = differs {
            panic!("seed {seed}, line {line}: {} / {}", once.trace[line], again.trace[line]);
        }
        assert_eq!(once.trace.len(), again.trace.len(), "seed {seed}");
    }
}

/// In `test` a guard is done with when one of its promises breaks; in `prove` every seed is played, and every promise there
/// is must be broken by the absence of some guard.
#[test]
fn without_any_one_guard_some_promise_breaks() {
    let path = std::env::var_os("DRAWBRIDGE_SIM_GUARDS");
    let mut table = String::from("| without | how | broken: first seed |\n|---|---|---|\n");
    let (mut unnoticed, mut broken) = (Vec::new(), BTreeSet::new());
    for guard in Guard::ALL {
        let found = Mutex::new(BTreeMap::<Invariant, u64>::new());
        play(MUTANT_SEEDS, Some(*guard), |seed, outcome| {
            let mut found = found.lock().unwrap();
            for invariant in &outcome.broken {
                let first = found.entry(*invariant).or_insert(seed);
                *first = seed.min(*first);
            }
            path.is_none() && outcome.broken.iter().any(|invariant| guard.breaks().contains(invariant))
        });
        let found = found.into_inner().unwrap();
        if !guard.breaks().iter().any(|invariant| found.contains_key(invariant)) {
            unnoticed.push(*guard);
        }
        let all: Vec<String> =
            found.iter().map(|(invariant, seed)| format!("{invariant:?}: {seed}")).collect();
        writeln!(table, "| {guard:?} | {} | {} |", guard.without(), all.join(", ")).unwrap();
        broken.extend(found.into_keys());
    }
    println!("{table}");
    assert!(unnoticed.is_empty(), "nothing breaks without {unnoticed:?}");
    if let Some(path) = path {
        std::fs::write(path, table).unwrap();
        let never: Vec<&Invariant> = Invariant::ALL.iter().filter(|one| !broken.contains(one)).collect();
        assert!(never.is_empty(), "no missing guard breaks {never:?}: is it looked at?");
    }
}
