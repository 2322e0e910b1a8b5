//! S3 Object Lock, sent with each object: a bucket's default retention does not cover every way in, and who reads the
//! request in the bucket's records sees what was asked for.

use std::num::NonZeroU16;

use aws_sdk_s3::{primitives::DateTime, types::ObjectLockMode};
use jiff::{SignedDuration, Timestamp};

/// The bucket's policy refuses more days than the stack says, and S3's clock may be behind ours.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// For how long nobody, root included, can delete an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    days: NonZeroU16,
}

impl Lock {
    /// Nobody can undo it.
    pub(super) const MODE: ObjectLockMode = ObjectLockMode::Compliance;

    pub(super) fn new(days: NonZeroU16) -> Self {
        Self { days }
    }

    /// When the lock of something written now ends.
    pub(super) fn until(self) -> DateTime {
        DateTime::from_secs(self.ends(Timestamp::now()).as_second())
    }

    fn ends(self, written: Timestamp) -> Timestamp {
        written + SignedDuration::from_hours(i64::from(self.days.get()) * 24) - MARGIN
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_ends_an_hour_before_its_days_do() {
        let written: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let lock = Lock::new(NonZeroU16::new(30).unwrap());
        assert_eq!(lock.ends(written).to_string(), "2026-12-22T09:00:00Z");
    }
}
