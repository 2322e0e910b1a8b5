//! Reads the orders. They come from `create`, but they are checked like anybody's: a box that misreads its orders
//! could write where it must not.

use std::{io::Read as _, path::Path};

use drawbridge_protocol::{
    ObjectKey, ObjectPrefix, Orders, ProtocolError, json,
    orders::{Limits, MAX_ORDERS},
};
use jiff::Timestamp;

use crate::session::MAX_OPEN;

/// S3's own bounds of a part, the upper one ours: a part is held in memory.
const PART_BYTES: std::ops::RangeInclusive<u64> = (5 << 20)..=(64 << 20);

/// Why the orders cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    #[error("cannot read the orders {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("the orders do not hold together: {0}; create and box must be of one release")]
    Inconsistent(String),
    #[error("the orders' deadline {0} has passed; the machine's clock or the boot was too slow")]
    Expired(Timestamp),
}

/// Reads and checks the orders in `path`.
pub fn load(path: &Path) -> Result<Orders, OrdersError> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_ORDERS as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| OrdersError::Read { path: path.display().to_string(), source })?;
    let orders: Orders = json::parse("orders", &bytes, MAX_ORDERS)?;
    check(&orders, Timestamp::now())?;
    Ok(orders)
}

/// What must agree for the box to write where it should and nowhere else.
pub(crate) fn check(orders: &Orders, now: Timestamp) -> Result<(), OrdersError> {
    let inconsistent = |why: &str| Err(OrdersError::Inconsistent(why.to_owned()));
    if orders.prefix != ObjectPrefix::of_session(&orders.cluster, &orders.job, &orders.session)? {
        return inconsistent("the prefix is not the one of this cluster, job and session");
    }
    if orders.ended_key != ObjectKey::ended(&orders.cluster, &orders.session) {
        return inconsistent("the ended marker is not the one of this cluster and session");
    }
    let Limits { session_bytes, part_bytes, parts_in_memory, artifacts, lock_days: _ } = orders.limits;
    if !PART_BYTES.contains(&part_bytes) {
        return inconsistent("part_bytes must lie between 5 MiB and 64 MiB");
    }
    // Each artifact that may be open fills a part; with fewer, one whose client is slow would stop the others.
    if !(MAX_OPEN..=32).contains(&(parts_in_memory as usize)) {
        return inconsistent("parts_in_memory must lie between 8 and 32");
    }
    if session_bytes == 0 || !(1..=10_000).contains(&artifacts) {
        return inconsistent("session_bytes must be positive, artifacts between 1 and 10,000");
    }
    if orders.deadline <= now {
        return Err(OrdersError::Expired(orders.deadline));
    }
    Ok(())
}
