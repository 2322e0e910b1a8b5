//! Lines come out the same however the streams are cut, and a stream that was cut is never whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::BytesMut;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    probe::Probe,
    sift::{HELD, Sift, Stop},
};
use crate::api::LogMark;

/// What one stream gave, and whether it may be believed.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    out: String,
    proven: bool,
    seeking: bool,
    stop: Option<Stop>,
}

/// Sends `text` through `sift` in pieces of `sizes`, again and again.
fn take(sift: &mut Sift, probe: Option<Probe>, text: &str, sizes: &mut dyn FnMut() -> usize) -> Taken {
    let mut out = BytesMut::new();
    sift.begin(probe);
    let (mut rest, mut stop) = (text.as_bytes(), None);
    while !rest.is_empty() && stop.is_none() {
        let (piece, more) = rest.split_at(sizes().clamp(1, rest.len()));
        stop = sift.feed(piece, &mut out).err();
        rest = more;
    }
    sift.weigh_rest();
    let out = String::from_utf8(out.to_vec()).unwrap();
    Taken { out, proven: sift.is_proven(), seeking: sift.is_seeking(), stop }
}

fn whole(sift: &mut Sift, probe: Option<Probe>, text: &str) -> Taken {
    take(sift, probe, text, &mut || usize::MAX)
}

/// What kubelet answers to `tailLines=1`, where no line has several records.
fn probe(log: &str) -> Option<Probe> {
    let last = log.lines().last().filter(|_| log.ends_with('\n'))?;
    Probe::new(last.as_bytes(), format!("{last}\n").as_bytes())
}

fn line(millis: u64, text: &str) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.{:03}000000Z {text}\n",
        millis / 3_600_000,
        millis / 60_000 % 60,
        millis / 1_000 % 60,
        millis % 1_000
    )
}

/// A log as runtimes write them: equal timestamps, a little out of order, equal lines, empty and very long ones.
fn log(random: &mut StdRng, lines: usize) -> Vec<String> {
    let mut millis = 1_000;
    let mut all: Vec<String> = Vec::new();
    for _ in 0..lines {
        millis += random.random_range(0..30);
        let at = millis - random.random_range(0..=20).min(millis);
        let repeated = random.random_range(0..6) == 0;
        if let Some(last) = all.last().filter(|_| repeated) {
            all.push(last.clone());
            continue;
        }
        let length = match random.random_range(0..40) {
            0 => 0,
            1 => HELD + random.random_range(0..3 * HELD),
            2 => HELD - 31 - random.random_range(0..3), // about what is held
            _ => random.random_range(1..60),
        };
        let word: String = (0..length).map(|_| char::from(random.random_range(b'a'..=b'c'))).collect();
        all.push(line(at, &word));
    }
    all
}

/// What kubelet gives of `log` with `sinceTime`: each line that is not older.
fn since(log: &[String], mark: Option<&LogMark>) -> String {
    let from = mark.map(|mark| (mark.at.as_second() - 5) * 1_000);
    let millis = |line: &String| super::sift::stamp(line.as_bytes()).unwrap().as_millisecond();
    log.iter().filter(|line| from.is_none_or(|from| millis(line) >= from)).cloned().collect()
}

#[test]
fn whatever_the_chunks_every_line_comes_out_once() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let text = log(&mut random, 120).concat();
        let mut sift = Sift::new(None);
        let largest = [2, 17, 300, 5_000, 200_000][usize::try_from(seed % 5).unwrap()];
        let taken = take(&mut sift, probe(&text), &text, &mut || random.random_range(1..largest));
        assert_eq!((taken.stop, taken.proven), (None, true), "seed {seed}");
        assert!(taken.out == text, "seed {seed}: other bytes came out");
    }
}

#[test]
fn backups_in_a_row_store_each_line_once() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(1_000 + seed);
        let lines = log(&mut random, 200);
        let (mut mark, mut stored, mut until) = (None, String::new(), 0);
        while until < lines.len() {
            until = (until + random.random_range(0..40)).min(lines.len());
            let mut sift = Sift::new(mark.clone());
            let text = since(&lines[..until], mark.as_ref());
            let taken = take(&mut sift, probe(&text), &text, &mut || random.random_range(1..5_000));
            assert_eq!(
                (taken.stop, taken.proven, taken.seeking),
                (None, true, false),
                "seed {seed}, {until} lines"
            );
            stored.push_str(&taken.out);
            mark = sift.last_mark();
        }
        assert!(stored == lines.concat(), "seed {seed}: other lines are stored than were written");
    }
}

#[test]
fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(2_000 + seed);
        let mut lines = log(&mut random, 100);
        // Of a last line that stands there twice, the first proves as much as the second; the next backup finds that one.
        lines.push(line(100_000, "the last"));
        let mut sift = Sift::new(None);
        let mut stored = String::new();
        loop {
            let text = since(&lines, sift.mark().as_ref());
            let whole_one = random.random_range(0..6) == 0;
            let end = if whole_one { text.len() } else { random.random_range(0..text.len()) };
            let taken = take(&mut sift, probe(&text), &text[..end], &mut || random.random_range(1..9_000));
            stored.push_str(&taken.out);
            assert_eq!(taken.stop, None, "seed {seed}");
            if taken.proven {
                // What is proven is the last line; its newline may be all that was cut off.
                assert!(end + 1 >= text.len(), "seed {seed}: cut at {end} of {}", text.len());
                let mut out = BytesMut::new();
                sift.finish(true, &mut out).unwrap();
                stored.push_str(std::str::from_utf8(&out).unwrap());
                break;
            }
        }
        assert!(stored == lines.concat(), "seed {seed}: other lines are stored than were written");
    }
}

#[test]
fn a_long_line_whose_rest_does_not_come_is_ended() {
    let text = line(1_000, &"z".repeat(2 * HELD));
    let mut sift = Sift::new(None);
    let mut stored = whole(&mut sift, None, &text[..text.len() - 1]).out;
    let mut out = BytesMut::new();
    sift.end_broken(&mut out);
    stored.push_str(std::str::from_utf8(&out).unwrap());
    assert!(stored == text, "{} of {} bytes", stored.len(), text.len());
    sift.end_broken(&mut out);
    assert_eq!(&out[..], b"\n", "once");
}

#[test]
fn a_cut_stream_is_never_whole() {
    let text = [line(1_000, "first"), line(1_000, "second"), line(2_000, "last")].concat();
    for end in 0..text.len() - 1 {
        assert!(!whole(&mut Sift::new(None), probe(&text), &text[..end]).proven, "cut at {end}");
    }
    assert!(whole(&mut Sift::new(None), probe(&text), &text).proven);
    assert!(whole(&mut Sift::new(None), None, "").proven, "a log without a line is whole without one");
}

#[test]
fn a_mark_that_was_rotated_away_is_noticed_before_anything_comes_out() {
    let mut sift = Sift::new(None);
    whole(&mut sift, None, &line(1_000, "stored"));
    let new = [line(1_500, "new"), line(60_000, "newer")].concat();
    let mut next = Sift::new(sift.mark());
    let taken = whole(&mut next, probe(&new), &new);
    assert_eq!((taken.out.as_str(), taken.stop), ("", Some(Stop::Past)));
    let soon = line(1_500, "new");
    let taken = whole(&mut Sift::new(sift.mark()), probe(&soon), &soon);
    assert_eq!((taken.out.as_str(), taken.proven, taken.seeking), ("", true, true));

    next.forget_mark();
    assert_eq!(whole(&mut next, probe(&new), &new).out, new);
    assert_eq!(next.passed().first_here, next.passed().first);
}

#[test]
fn equal_lines_are_told_apart_by_how_many_there_were() {
    let one = line(1_000, "same");
    let mut sift = Sift::new(None);
    whole(&mut sift, None, &one.repeat(3));
    assert_eq!(sift.mark().unwrap().repeat, 3);
    assert_eq!(whole(&mut Sift::new(sift.mark()), None, &one.repeat(5)).out, one.repeat(2));
}

#[test]
fn kubelets_words_are_not_taken_for_lines() {
    let words = "unable to retrieve container logs for containerd://1";
    let text = format!("{}{words}\n", line(1_000, "a line"));
    let taken = whole(&mut Sift::new(None), probe(&line(1_000, "a line")), &text);
    assert_eq!((taken.out, taken.stop), (line(1_000, "a line"), Some(Stop::NoTimestamp(words.into()))));

    let mut sift = Sift::new(None);
    whole(&mut sift, None, words);
    assert_eq!(sift.finish(false, &mut BytesMut::new()), Err(Stop::NoTimestamp(words.into())));
}

#[test]
fn the_rest_of_a_line_whose_beginning_is_hidden_is_skipped_with_what_precedes_the_mark() {
    let (mark_line, new) = (line(9_000, "stored"), line(9_500, "new"));
    let mut sift = Sift::new(None);
    whole(&mut sift, None, &mark_line);
    for rest in ["the rest of a line\n".to_owned(), format!("{}\n", "r".repeat(HELD + 7))] {
        let text = format!("{rest}{mark_line}{new}");
        assert_eq!(whole(&mut Sift::new(sift.mark()), probe(&text), &text).out, new);
    }
}

#[test]
fn a_line_without_its_end_waits_unless_nothing_follows() {
    let (done, half) = (line(1_000, "done"), "2026-01-01T00:00:02.000000000Z hal");
    let text = format!("{done}{half}");
    let mut sift = Sift::new(None);
    let mut out = BytesMut::new();
    assert_eq!(whole(&mut sift, probe(&done), &text).out, done);
    sift.finish(false, &mut out).unwrap();
    assert!(out.is_empty(), "the next backup finds it whole");

    whole(&mut Sift::new(None), probe(&done), &text);
    let mut ended = Sift::new(None);
    whole(&mut ended, probe(&done), &text);
    ended.finish(true, &mut out).unwrap();
    assert_eq!(out, format!("{half}\n"));
}

#[test]
fn a_line_of_several_records_is_known_by_its_end() {
    // Asked for alone, its last record has a time of its own and none of what precedes it.
    let records = ["x".repeat(16 << 10), "y".repeat(16 << 10), "the end".to_owned()].concat();
    let joined = line(1_000, &records);
    let last = line(1_004, "the end");
    let probe = Probe::new(last.trim_end().as_bytes(), last.as_bytes());
    let text = format!("{}{joined}", line(900, "before"));
    assert!(whole(&mut Sift::new(None), probe.clone(), &text).proven);
    assert!(!whole(&mut Sift::new(None), probe.clone(), &text[..text.len() - 5]).proven);
    assert!(!whole(&mut Sift::new(None), probe, &line(900, "before")).proven);
}

#[test]
fn a_long_line_is_not_kept_in_memory() {
    let mut sift = Sift::new(None);
    sift.begin(None);
    let mut out = BytesMut::new();
    sift.feed(b"2026-01-01T00:00:01.000000000Z ", &mut out).unwrap();
    let piece = vec![b'z'; 1 << 20];
    for _ in 0..64 {
        sift.feed(&piece, &mut out).unwrap();
        assert!(out.len() <= piece.len() + HELD, "{} bytes are held back", out.len());
        out.clear();
    }
}
