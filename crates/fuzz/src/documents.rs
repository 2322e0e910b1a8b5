//! Every JSON document that crosses a boundary.

use std::fmt::Debug;

use drawbridge_protocol::{
    Baseline, Certificate, CertifiedSession, CleanupAnswer, CleanupRequest, CreateAnswer, CreateRequest,
    Envelope, Manifest, Orders, PostureAnswer, PostureRequest, ReadyReport, Receipt, RejectionRecord,
    checks::ChecksConfig,
    json,
    manifest::Claimed,
    orders::{Limits, MAX_ORDERS},
    upload::{Accepted, Begin, Commit, End, Failure, Hello, Rejected, Sealed, Welcome},
};
use serde::{Serialize, de::DeserializeOwned};

/// Each document is tried: what one of them takes must be the same when it is written and read again.
pub(crate) fn documents(data: &[u8]) {
    document::<Orders>(data);
    document::<ReadyReport>(data);
    document::<CreateRequest>(data);
    document::<CreateAnswer>(data);
    document::<CleanupRequest>(data);
    document::<CleanupAnswer>(data);
    document::<PostureRequest>(data);
    document::<PostureAnswer>(data);
    document::<Manifest>(data);
    document::<Receipt>(data);
    document::<RejectionRecord>(data);
    document::<Envelope>(data);
    document::<Certificate>(data);
    document::<CertifiedSession>(data);
    document::<Baseline>(data);
    document::<ChecksConfig>(data);
    document::<Claimed>(data);
    document::<Limits>(data);
    document::<Hello>(data);
    document::<Welcome>(data);
    document::<Begin>(data);
    document::<End>(data);
    document::<Commit>(data);
    document::<Accepted>(data);
    document::<Rejected>(data);
    document::<Sealed>(data);
    document::<Failure>(data);
    if let Ok(certificate) = json::parse::<Certificate>("certificate", data, MAX_ORDERS) {
        // Whatever it says, asking it is safe.
        let _ = certificate.claims();
    }
}

fn document<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let Ok(first) = json::parse::<T>("document", data, MAX_ORDERS) else { return };
    let written = json::write("document", &first).expect("what was read can be written");
    let again: T = json::parse("document", &written, 2 * MAX_ORDERS).expect("what was written can be read");
    assert_eq!(again, first, "a document changed on its way");
}
