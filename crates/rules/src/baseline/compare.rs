//! One artifact against its source in the run before. Pure; the answer is the reason in words.

use drawbridge_protocol::{SourceMeasures, measures::Sample};

/// Of a hundred files now, so many look encrypted at the least ...
const DENSE_NOW: u64 = 90;
/// ... and in the run before at the most.
const DENSE_BEFORE: u64 = 60;
/// Of a hundred sampled files, so many have changed at the least.
const CHANGED: u64 = 95;
/// With fewer bytes nothing is said.
const LEAST: u64 = 4 << 10;
/// So many times larger or smaller is far.
const FAR: u64 = 20;
/// Below it, sizes vary as they like.
const LEAST_SIZE: u64 = 16 << 20;

/// Whether everything changed and nothing compresses that did.
pub(super) fn encrypted(before: &SourceMeasures, now: &SourceMeasures) -> Option<String> {
    if now.measured == 0 || before.measured == 0 || now.bytes < LEAST {
        return None;
    }
    let dense_now = now.dense.saturating_mul(100) >= now.measured.saturating_mul(DENSE_NOW);
    let dense_before = before.dense.saturating_mul(100) > before.measured.saturating_mul(DENSE_BEFORE);
    let (changed, compared) = changed(&before.sample, &now.sample);
    let all_changed = changed * 100 >= compared * CHANGED;
    (dense_now && !dense_before && all_changed).then(|| {
        format!(
            "{} of {} files look encrypted, {} of {} did before; {changed} of {compared} sampled files are new or changed",
            now.dense, now.measured, before.dense, before.measured
        )
    })
}

/// Whether an artifact is far from what the source's artifacts had on average.
pub(super) fn size(before: &SourceMeasures, now: &SourceMeasures) -> Option<String> {
    let average = before.bytes / before.artifacts.max(1);
    let larger = now.bytes >= LEAST_SIZE && now.bytes / FAR > average;
    let smaller = average >= LEAST_SIZE && average / FAR > now.bytes;
    (larger || smaller).then(|| format!("{} bytes, an artifact had {average} before", now.bytes))
}

/// Of the sampled files that both runs would have sampled, those that are new or changed now.
fn changed(before: &Sample, now: &Sample) -> (u64, u64) {
    let reach = before.reach().min(now.reach());
    let within = now.files().iter().filter(|file| file.path <= reach);
    within.fold((0, 0), |(changed, all), file| {
        let known = before.files().binary_search(file).is_ok();
        (changed + u64::from(!known), all + 1)
    })
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::measures::SampledFile;

    use super::*;

    /// 100 files of which `dense` look encrypted; the contents of the first `kept` are those of every other run.
    fn source(dense: u64, kept: u32, run: u16) -> SourceMeasures {
        let mut sample = Sample::default();
        for path in 0..100 {
            // Spread over all digests, so that the sample is of files all over the source.
            let content = if path < kept { 0 } else { run };
            sample.add(SampledFile { path: (path * 37 % 100) << 20, content });
        }
        let (files, measured, bytes) = (100, 100, 1 << 20);
        SourceMeasures { artifacts: 1, files, measured, dense, bytes, sample, alarmed: false }
    }

    #[test]
    fn everything_changed_and_nothing_compresses() {
        let reason = encrypted(&source(5, 0, 1), &source(100, 0, 2));
        assert!(reason.is_some_and(|reason| reason.contains("100 of 100 files look encrypted, 5 of 100 did before")));
    }

    #[test]
    fn each_sign_alone_is_none() {
        let before = source(5, 0, 1);
        for (what, now) in [
            ("nothing changed", source(5, 0, 1)),
            ("a new release", source(5, 0, 2)),
            ("some files encrypted", source(80, 20, 2)),
        ] {
            assert_eq!(encrypted(&before, &now), None, "{what}");
        }
        let (archives, again) = (source(95, 0, 1), source(100, 0, 2));
        assert_eq!(encrypted(&archives, &again), None, "it never compressed");
        assert_eq!(encrypted(&source(5, 30, 1), &source(100, 30, 2)), None, "a third is as it was");
    }

    #[test]
    fn without_measures_nothing_is_said() {
        let empty = SourceMeasures::default();
        assert_eq!(encrypted(&empty, &source(100, 0, 2)), None);
        assert_eq!(encrypted(&source(5, 0, 1), &empty), None);
        let small = SourceMeasures { bytes: 1000, ..source(100, 0, 2) };
        assert_eq!(encrypted(&source(5, 0, 1), &small), None);
    }

    #[test]
    fn files_that_one_run_alone_would_sample_are_not_compared() {
        let (mut before, mut now) = (Sample::default(), Sample::default());
        for path in 0..40 {
            before.add(SampledFile { path, content: 1 });
        }
        for path in [1, 2, 500, 600] {
            now.add(SampledFile { path, content: 1 });
        }
        assert_eq!(changed(&before, &now), (0, 2));
    }

    #[test]
    fn a_size_far_from_the_average_is_told_and_a_near_or_small_one_is_not() {
        let of = |bytes, artifacts| SourceMeasures { bytes, artifacts, ..SourceMeasures::default() };
        let before = of(300 << 20, 3);
        assert_eq!(size(&before, &of(1500 << 20, 1)), None);
        assert!(size(&before, &of(2500 << 20, 1)).is_some());
        assert!(size(&before, &of(4 << 20, 1)).is_some());
        assert_eq!(size(&before, &of(6 << 20, 1)), None);
        assert_eq!(size(&of(1000, 1), &of(8 << 20, 1)), None);
        assert_eq!(size(&of(8 << 20, 1), &of(1000, 1)), None);
    }
}
