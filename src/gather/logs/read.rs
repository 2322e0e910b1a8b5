//! Reads a container's logs over the API, however often a stream breaks, and says what was found.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use drawbridge_protocol::manifest::LogRange;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::{
    Instance, Plan,
    api::{Fault, LogApi},
    found::{End, Found, ROUNDING, after},
    plan::{Reading, moved_to},
    probe::Probe,
    sift::{Sift, Stop},
};
use crate::{
    api::{KeptLog, LogMark, LogsSource},
    gather::{GatherError, Gatherer, Target},
};

/// What is read again before the mark. `sinceTime` is whole seconds, and the runtime's two writers may be out of order.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);
/// How often in a row a log may break with no line gained; the waits between double, so that this is half a minute:
/// a kubelet that restarts is back by then.
const FRUITLESS: u32 = 6;
/// Chunks between reader and compressor.
const DEPTH: usize = 2;
/// Bytes that are handed on at once.
const CHUNK: usize = 128 << 10;
/// The longest wait before a broken log is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long, and how far apart, a pod's status is looked at for a restart that kubelet seems to know of.
const STATUS_WAIT: Duration = Duration::from_secs(30);
const STATUS_PAUSE: Duration = Duration::from_millis(500);

/// Log lines as they are read. The last item is an error unless the log was read to a proven end.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, GatherError>> + Send>>;

/// What was found in a log; there once the stream has ended well.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// For the manifest.
    pub range: Arc<OnceLock<LogRange>>,
    /// For the next job of the series.
    kept: Arc<Mutex<Option<KeptLog>>>,
}

impl Gathered {
    /// How far the log is stored; absent outside of a series and for deleted pods.
    pub fn kept(&self) -> Option<KeptLog> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Begins to read the logs of `target`.
pub fn open(
    gatherer: &Arc<Gatherer>,
    target: &Target,
    plan: &Plan,
    listed_at: Timestamp,
) -> (LogStream, Gathered) {
    let (sink, mut chunks) = mpsc::channel(DEPTH);
    let found = Gathered::default();
    let reader = Reader {
        api: LogApi::new(Arc::clone(gatherer), target),
        target: target.clone(),
        found: Found::new(target, plan, listed_at),
        out: BytesMut::with_capacity(CHUNK),
        sink,
    };
    let work = reader.run(plan.clone(), found.clone()).into_stream();
    let errors = work.filter_map(|end| async move { end.err().map(Err) });
    let chunks = stream::poll_fn(move |context| chunks.poll_recv(context)).map(Ok);
    (Box::pin(stream::select(chunks, errors)), found)
}

struct Reader {
    api: LogApi,
    target: Target,
    found: Found,
    out: BytesMut,
    sink: mpsc::Sender<Bytes>,
}

/// How one stream ended.
enum Pass {
    Whole,
    /// The mark is not in the file.
    NoMark,
    /// The container was restarted: these are its logs now.
    Moved(Vec<Instance>),
    /// What was opened may be a later run's log, but the pod's status does not say so.
    Unsettled,
    Broken(Fault),
}

impl Reader {
    async fn run(mut self, plan: Plan, gathered: Gathered) -> Result<(), GatherError> {
        let mut readings = VecDeque::from(plan.readings);
        let mut last = None;
        while let Some(mut reading) = readings.pop_front() {
            reading.before = reading.before.not_before(last);
            let mut sift = Sift::new(reading.mark.clone());
            let end = self.log(&reading, &mut sift, plan.source.as_ref()).await?;
            sift.end_broken(&mut self.out);
            self.flush().await;
            self.found.add(&reading, sift.passed(), sift.last_mark(), &end, Timestamp::now());
            last = sift.passed().last.or(last);
            match (end, &self.found.kept) {
                (End::PodGone, _) => break,
                (End::Moved(instances), Some(kept)) => {
                    readings = moved_to(&reading, kept, instances).into();
                }
                _ => {}
            }
        }
        let (range, kept) = self.found.finish();
        // Nothing was set before: this is the only place.
        let _ = gathered.range.set(range);
        *gathered.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }

    /// Reads one log to its end, in as many streams as it takes.
    async fn log(
        &mut self,
        reading: &Reading,
        sift: &mut Sift,
        source: Option<&LogsSource>,
    ) -> Result<End, GatherError> {
        let (mut fruitless, mut lines) = (0, 0);
        let mut pause = Duration::from_millis(500);
        // Where the log that was there before a rotation is stored to.
        let mut cut = None;
        // A previous log's run is known by its times; of a running one, once the pod's status was waited for in vain.
        let mut settled = reading.instance.previous;
        loop {
            let pass = self.pass(reading, sift, settled, source).await?;
            if let (Some(from), Some(first)) = (cut, sift.passed().first_here) {
                self.found.rotated(from, first);
                cut = None;
            }
            let fault = match pass {
                Pass::Whole => return Ok(End::Whole { cut }),
                Pass::NoMark => {
                    cut = sift.mark().map(|mark| mark.at).or(cut);
                    sift.forget_mark();
                    continue;
                }
                Pass::Moved(instances) => return Ok(End::Moved(instances)),
                Pass::Unsettled => {
                    settled = true;
                    continue;
                }
                Pass::Broken(Fault::PodGone) => return Ok(End::PodGone),
                Pass::Broken(Fault::LogGone(_)) => return Ok(End::LogGone),
                Pass::Broken(fault) => fault,
            };
            let read = sift.passed().lines;
            fruitless = if read > lines { 1 } else { fruitless + 1 };
            lines = read;
            if fruitless >= FRUITLESS {
                return Err(self.api.error(fault));
            }
            let (pod, container) = (&self.target.pod, &self.target.container);
            tracing::warn!(pod, container, why = %fault, "a log stream broke; taking it up again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whose log was opened, if that is not the reading's run: `pods/log` names no run, and kubelet gives a new run's log
    /// before the pod's status shows the restart. But kubelet chooses the `previous` log by the same knowledge.
    async fn another(
        &self,
        reading: &Reading,
        sift: &Sift,
        last: Option<&Probe>,
        source: Option<&LogsSource>,
    ) -> Result<Option<Pass>, Fault> {
        let Some(source) = source else { return Ok(None) };
        if let Some(instances) = self.moved(reading, source).await? {
            return Ok(Some(Pass::Moved(instances)));
        }
        let before = self.api.probe(true).await.ok().flatten();
        let now = match &before {
            Some(_) => self.api.probe(false).await.ok().flatten(),
            None => None,
        };
        // The last run of a container that waits for its next one is both.
        let differ = before.is_some() && now != before;
        let own = own_since(reading, sift).zip(before).is_some_and(|(since, before)| before.at() >= since);
        let late = last.is_some_and(|last| is_later(&reading.instance, last.at()));
        if !differ || !(own || late) {
            return Ok(None);
        }
        let until = Instant::now() + STATUS_WAIT;
        while Instant::now() < until {
            tokio::time::sleep(STATUS_PAUSE).await;
            if let Some(instances) = self.moved(reading, source).await? {
                return Ok(Some(Pass::Moved(instances)));
            }
        }
        Ok(Some(Pass::Unsettled))
    }

    /// The container's logs if its pod's status shows other runs than when it was listed.
    async fn moved(&self, reading: &Reading, source: &LogsSource) -> Result<Option<Vec<Instance>>, Fault> {
        let run = &reading.instance;
        let same = |now: &Instance| now.previous == run.previous && now.id == run.id;
        let instances = self.api.instances(source).await?;
        Ok(instances.filter(|instances| !instances.iter().any(same)))
    }

    /// Reads one stream; unless it is `settled` whose log it is, that is looked at before anything passes.
    async fn pass(
        &mut self,
        reading: &Reading,
        sift: &mut Sift,
        settled: bool,
        source: Option<&LogsSource>,
    ) -> Result<Pass, GatherError> {
        let previous = reading.instance.previous;
        let probe = match self.api.probe(previous).await {
            Ok(probe) => probe,
            Err(fault) => return self.broken(fault),
        };
        if let (true, Some(last), Some(source)) = (previous, &probe, source)
            && is_later(&reading.instance, last.at())
        {
            match self.moved(reading, source).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    return self.broken(Fault::LogGone("the previous log is a later run's now".to_owned()));
                }
                Err(fault) => return self.broken(fault),
            }
        }
        let mark = sift.mark();
        let since = mark.as_ref().and_then(|mark| since(mark, probe.as_ref().map(Probe::at)));
        sift.begin(probe.clone());
        let mut log = match self.api.open(previous, since).await {
            Ok(log) => log,
            Err(fault) => return self.broken(fault),
        };
        // Where a mark is found, it says whose log it is.
        if !settled && !sift.is_seeking() {
            match self.another(reading, sift, probe.as_ref(), source).await {
                Ok(None) => {}
                Ok(Some(pass)) => return Ok(pass),
                Err(fault) => return self.broken(fault),
            }
        }
        loop {
            let stop = match log.chunk().await {
                Ok(Some(chunk)) => {
                    let (stop, length) = (sift.feed(chunk, &mut self.out), chunk.len());
                    log.consume(length);
                    stop
                }
                Ok(None) => break,
                Err(fault) => return self.broken(fault),
            };
            if self.out.len() >= CHUNK / 2 {
                self.flush().await;
            }
            match stop {
                Ok(()) => {}
                Err(Stop::Past) => return Ok(Pass::NoMark),
                Err(Stop::NoTimestamp(words)) => return self.broken(Fault::Strange(words)),
            }
        }
        self.end(reading, sift)
    }

    /// What the end of a stream was worth.
    fn end(&mut self, reading: &Reading, sift: &mut Sift) -> Result<Pass, GatherError> {
        sift.weigh_rest();
        if !sift.is_proven() {
            return self.broken(Fault::Cut);
        }
        if sift.is_seeking() {
            return Ok(Pass::NoMark);
        }
        match sift.finish(reading.instance.ended, &mut self.out) {
            Ok(()) => Ok(Pass::Whole),
            Err(Stop::NoTimestamp(words)) => self.broken(Fault::Strange(words)),
            Err(Stop::Past) => Ok(Pass::NoMark),
        }
    }

    /// What time mends is tried again; the rest is an error at once.
    fn broken(&self, fault: Fault) -> Result<Pass, GatherError> {
        if fault.may_pass() { Ok(Pass::Broken(fault)) } else { Err(self.api.error(fault)) }
    }

    async fn flush(&mut self) {
        if !self.out.is_empty() {
            let chunk = std::mem::replace(&mut self.out, BytesMut::with_capacity(CHUNK)).freeze();
            // The other side is gone only when this future is about to be dropped.
            let _ = self.sink.send(chunk).await;
        }
    }
}

/// No line of the run before the reading's is as young. Times of runs are rounded down, so that a run's first second may be
/// the last of the one before; a line that is stored is exact.
fn own_since(reading: &Reading, sift: &Sift) -> Option<Timestamp> {
    let started = || after(reading.instance.started_at?, ROUNDING).into();
    sift.last_mark().map(|mark| mark.at).or_else(started)
}

/// Whether a log's last line seems to be of a run after `instance`, which has ended.
fn is_later(instance: &Instance, last: Timestamp) -> bool {
    instance.finished_at.is_some_and(|finished| last > after(finished, ROUNDING))
}

/// From when on to ask for lines; `None` for all of them, also if the clock seems to have been set back: then
/// `sinceTime` would hide the newest lines.
fn since(mark: &LogMark, newest: Option<Timestamp>) -> Option<Timestamp> {
    let since = mark.at.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN);
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    newest.is_none_or(|newest| newest >= since).then_some(since)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::gather::logs::plan::Before;

    #[test]
    fn whose_a_log_is_shows_by_its_age() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let instance = |started_at, finished_at: Option<Timestamp>| Instance {
            previous: finished_at.is_some(),
            id: "a".into(),
            restarts: 0,
            started_at,
            ended: finished_at.is_some(),
            finished_at,
        };
        let reading = |started_at| {
            let instance = instance(started_at, None);
            Reading { instance, mark: None, before: Before::Nothing }
        };
        let mark = LogMark { at: at(150), digest: String::new(), repeat: 1 };
        let mut rotated = Sift::new(Some(mark));
        rotated.forget_mark();
        assert_eq!(own_since(&reading(Some(at(100))), &rotated), Some(at(150)));
        assert_eq!(own_since(&reading(Some(at(100))), &Sift::default()), Some(at(101)), "rounded down");
        assert_eq!(own_since(&reading(None), &Sift::default()), None);

        let ended = instance(Some(at(100)), Some(at(200)));
        assert!(!is_later(&ended, at(201)), "rounded down");
        assert!(is_later(&ended, at(202)));
        assert!(!is_later(&instance(Some(at(100)), None), at(500)), "it still runs");
    }

    #[test]
    fn all_lines_are_asked_for_if_the_clock_was_set_back() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mark = LogMark { at: at("2026-01-01T00:01:00.9Z"), digest: String::new(), repeat: 1 };
        let asked = Some(at("2026-01-01T00:00:55Z"));
        assert_eq!(since(&mark, Some(at("2026-01-01T00:02:00Z"))), asked);
        assert_eq!(since(&mark, None), asked);
        assert_eq!(since(&mark, Some(at("2026-01-01T00:00:54Z"))), None);
    }
}
