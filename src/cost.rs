//! What a job costs, estimated from a dated table of prices. It counts what the controller knows, and rounds up.
//!
//! Prices are those of us-east-1 as docs/cost.md has them, which says where each is from. An estimate is no bill: free
//! tiers, discounts, other regions and other instance types change it.

use crate::api::{ArtifactCounts, ByteCounts, CostStatus};

/// When the table was written down.
pub const PRICES_OF: &str = "2026-11";

/// In 10^-12 USD, so that a second's share of an hour is a whole number of them.
mod pico {
    /// A t3.small, an hour 0.0208 USD.
    pub(super) const INSTANCE_SECOND: u128 = 20_800_000_000 / 3_600;
    /// A public IPv4 address, an hour 0.005 USD.
    pub(super) const ADDRESS_SECOND: u128 = 5_000_000_000 / 3_600;
    /// A root volume of 8 GiB of gp3, a gibibyte and month 0.08 USD.
    pub(super) const VOLUME_SECOND: u128 = 8 * 80_000_000_000 / MONTH_SECONDS;
    /// PUT, POST and LIST of S3, a thousand 0.005 USD. GETs cost less and are counted the same.
    pub(super) const S3_REQUEST: u128 = 5_000_000;
    /// A call of a function: 0.20 USD a million, and a second of 512 MiB at 0.0000166667 USD a GiB-second.
    pub(super) const INVOCATION: u128 = 200_000 + 8_333_350;
    /// S3 Standard, a gibibyte and month 0.023 USD.
    pub(super) const STORED_GIB_MONTH: u128 = 23_000_000_000;
    const MONTH_SECONDS: u128 = 730 * 3_600;
}

/// EC2 charges at least this much of an instance.
const LEAST_SECONDS: i64 = 60;
/// A box's parts are of this size.
const PART: i64 = 5 << 20;
/// Objects that a session puts besides its artifacts: sums, envelope, manifest, marker; slot, state (about eight times),
/// orders, report, tombstone, and what is listed and read between.
const OF_A_SESSION: i64 = 40;
/// Beginning and completing an upload.
const OF_AN_ARTIFACT: i64 = 2;
/// How often create and cleanup are asked in a session, posture included; about what a box's start and end take.
const INVOCATIONS: i64 = 12;

/// Adds one session that is over: `seconds` from its opening to its end, with a box or not.
pub fn add(
    before: Option<&CostStatus>,
    seconds: i64,
    had_a_box: bool,
    artifacts: &ArtifactCounts,
    bytes: &ByteCounts,
) -> CostStatus {
    let known = before.cloned().unwrap_or_default();
    let box_seconds = if had_a_box { seconds.max(LEAST_SECONDS) } else { 0 };
    let parts = bytes.stored / PART + artifacts.done;
    let requests = OF_A_SESSION + OF_AN_ARTIFACT * artifacts.done + parts;
    let mut cost = CostStatus {
        box_seconds: known.box_seconds.saturating_add(box_seconds),
        requests: known.requests.saturating_add(requests),
        invocations: known.invocations.saturating_add(INVOCATIONS),
        bytes: known.bytes.saturating_add(bytes.stored),
        prices_of: PRICES_OF.to_owned(),
        ..CostStatus::default()
    };
    cost.micro_usd = once(&cost);
    cost.micro_usd_a_month = a_month(cost.bytes);
    cost.display = format!("{} USD, {} a month", usd(cost.micro_usd), usd(cost.micro_usd_a_month));
    cost
}

/// What the job's sessions cost, in millionths of a dollar.
fn once(cost: &CostStatus) -> i64 {
    let seconds = pico::INSTANCE_SECOND + pico::ADDRESS_SECOND + pico::VOLUME_SECOND;
    let sum = count(cost.box_seconds) * seconds
        + count(cost.requests) * pico::S3_REQUEST
        + count(cost.invocations) * pico::INVOCATION;
    micro(sum)
}

/// What keeping that many bytes costs a month.
fn a_month(bytes: i64) -> i64 {
    micro(count(bytes) * pico::STORED_GIB_MONTH / (1 << 30))
}

fn count(number: i64) -> u128 {
    u128::from(number.max(0).unsigned_abs())
}

/// Rounded up.
fn micro(pico: u128) -> i64 {
    i64::try_from(pico.div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn usd(micro: i64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts(done: i64) -> ArtifactCounts {
        ArtifactCounts { total: done, done, display: String::new() }
    }

    fn bytes(stored: i64) -> ByteCounts {
        ByteCounts { original: stored, stored, display: String::new() }
    }

    #[test]
    fn an_hourly_backup_of_a_hundred_mebibytes_is_what_the_document_works_out() {
        let cost = add(None, 120, true, &artifacts(4), &bytes(100 << 20));
        assert_eq!((cost.box_seconds, cost.requests, cost.invocations), (120, 40 + 8 + 24, 12));
        // 120 s of instance, address and volume: 889 millionths; 72 requests: 360; 12 invocations: 103.
        assert_eq!(cost.micro_usd, 1_352);
        assert_eq!(cost.micro_usd_a_month, 2_247);
        assert_eq!(cost.display, "0.001352 USD, 0.002247 a month");
    }

    #[test]
    fn a_session_without_a_box_costs_its_questions_alone() {
        let cost = add(None, 600, false, &artifacts(0), &bytes(0));
        assert_eq!((cost.box_seconds, cost.bytes), (0, 0));
        assert!(cost.micro_usd > 0 && cost.micro_usd < 400, "{}", cost.micro_usd);
    }

    #[test]
    fn every_attempt_counts_and_a_short_one_counts_a_minute() {
        let first = add(None, 20, true, &artifacts(0), &bytes(0));
        assert_eq!(first.box_seconds, 60);
        let second = add(Some(&first), 90, true, &artifacts(1), &bytes(10));
        assert_eq!(second.box_seconds, 150);
        assert!(second.micro_usd > first.micro_usd);
    }

    #[test]
    fn the_dates_of_table_and_document_agree() {
        let document = include_str!("../docs/cost.md");
        assert!(document.contains(&format!("Prices of {PRICES_OF}")), "docs/cost.md has another date");
    }
}
