//! What a session needs besides a slot: that nobody has stopped the stack, and that the day has sessions left.
//!
//! The stop is an object that only an administrator can put. The day's counter is one object a UTC day, written
//! by conditional puts only, so that no race opens more sessions than the stack allows.

use drawbridge_protocol::{SessionId, json};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{
    error::Error,
    names::key,
    state::Day,
    store::{Condition, Put, Store, StoreError, to_json},
};

/// What of the stop's text is shown.
const MAX_REASON: usize = 200;
const MAX_STOP: usize = 4 << 10;
const MAX_DAY: usize = 16 << 10;
/// How many sessions of a day are remembered by name: more than can be between two calls for the same one.
const REMEMBERED: usize = 128;
/// How often the count is tried against others. Who counts holds a slot, and a stack has 100 at most.
const TRIES: usize = 100;

/// Whether a session may be opened today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Today {
    /// It is counted, now or by an earlier call.
    Counted,
    /// All of the day's sessions were opened; the next day begins then.
    Full { again_at: Timestamp },
}

impl Store {
    /// Why the stack makes no boxes, while somebody has stopped it.
    pub(crate) async fn stopped(&self) -> Result<Option<String>, StoreError> {
        let text = match self.0.get(key::STOP, MAX_STOP).await {
            Ok(Some(object)) => String::from_utf8_lossy(&object.bytes).into_owned(),
            Ok(None) => return Ok(None),
            // It stops the stack however long it is.
            Err(StoreError::Unreadable { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Some(text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()))
    }

    /// Counts the session on its day, once.
    pub(crate) async fn count(&self, session: &SessionId, max: u32, now: Timestamp) -> Result<Today, Error> {
        let (date, again_at) = day_of(now);
        let key = key::day(date);
        for _ in 0..TRIES {
            let found = self.0.get(&key, MAX_DAY).await?;
            let mut day = match &found {
                Some(object) => json::parse::<Day>("day", &object.bytes, MAX_DAY)
                    .map_err(|error| Error::Day { key: key.clone(), why: error.to_string() })?,
                None => Day::default(),
            };
            if day.newest.contains(session) {
                return Ok(Today::Counted);
            }
            if day.sessions >= max {
                return Ok(Today::Full { again_at });
            }
            day.sessions += 1;
            day.newest.push(session.clone());
            let forgotten = day.newest.len().saturating_sub(REMEMBERED);
            day.newest.drain(..forgotten);
            let condition =
                found.as_ref().map_or(Condition::Absent, |object| Condition::Matches(&object.etag));
            if self.0.put(&key, to_json(&key, &day)?, condition).await? != Put::Refused {
                return Ok(Today::Counted);
            }
        }
        Err(Error::Day { key, why: "other calls kept changing it: ask again".to_owned() })
    }
}

/// The UTC day of a moment, and when the next one begins.
fn day_of(now: Timestamp) -> (Date, Timestamp) {
    let zoned = now.to_zoned(TimeZone::UTC);
    let next = zoned.date().tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    (zoned.date(), next.map_or(Timestamp::MAX, |next| next.timestamp()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_day_is_a_utc_day_to_its_last_second() {
        let (date, again_at) = day_of("2026-12-31T23:59:59Z".parse().unwrap());
        assert_eq!(key::day(date), "days/2026-12-31");
        assert_eq!(again_at.to_string(), "2027-01-01T00:00:00Z");
        let (next, _) = day_of(again_at);
        assert_eq!(key::day(next), "days/2027-01-01");
    }

    #[test]
    fn a_day_of_the_most_remembered_sessions_can_be_read_again() {
        let session: SessionId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let day = Day { sessions: u32::MAX, newest: vec![session; REMEMBERED], ..Day::default() };
        assert!(to_json("days/x", &day).unwrap().len() <= MAX_DAY);
    }
}
