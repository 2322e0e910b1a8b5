//! What is said of an artifact on both sides, and whether the two agree.

use std::sync::{Arc, OnceLock};

use drawbridge_protocol::{
    ArtifactName, ObjectPrefix,
    manifest::{Claimed, LogRange},
    upload::{Accepted, End, Entry, Rejected},
};

use super::{TransferError, pipeline::Summary};

/// What the client says of an artifact; the counts and digests are added as it goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub source: String,
    pub namespace: String,
    pub pod: String,
    pub pod_uid: String,
    pub container: String,
    pub image: String,
    pub paths: Vec<String>,
    /// Of a log; what it holds is known when its source has ended.
    pub log: Option<Arc<OnceLock<LogRange>>>,
}

/// An artifact that is stored, says the box, and its count and digest are ours.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub accepted: Accepted,
    pub claimed: Claimed,
}

impl Uploaded {
    /// The artifact's line in the commit.
    pub fn entry(&self) -> Entry {
        let Accepted { name, bytes, sha256, .. } = self.accepted.clone();
        Entry { name, bytes, sha256 }
    }
}

impl Claim {
    /// The artifact is whole: `summary` is what the pipeline counted.
    pub(super) fn end(self, summary: Summary) -> End {
        let Self { source, namespace, pod, pod_uid, container, image, paths, log } = self;
        let Summary { original_bytes, original_sha256, bytes, sha256 } = summary;
        let claimed = Claimed {
            source,
            namespace,
            pod,
            pod_uid,
            container,
            image,
            paths,
            original_bytes,
            original_sha256,
            log: log.and_then(|log| log.get().cloned()),
        };
        End { bytes, sha256, claimed }
    }
}

/// The box must have stored what we sent, and where it belongs.
pub(super) fn check(
    accepted: Accepted,
    name: &ArtifactName,
    end: &End,
    prefix: &ObjectPrefix,
) -> Result<Uploaded, TransferError> {
    let keys = accepted.objects.iter().enumerate();
    let placed = keys.clone().all(|(index, object)| {
        u32::try_from(index).is_ok_and(|index| object.key == prefix.artifact(name, index))
    });
    let mut sizes = accepted.objects.iter().map(|object| object.bytes);
    let stored = sizes.try_fold(0_u64, u64::checked_add);
    let same = accepted.name == *name && accepted.bytes == end.bytes && accepted.sha256 == end.sha256;
    // Of several objects nobody here knows the digests, since the box cuts them; one alone is the artifact.
    let whole = match accepted.objects.as_slice() {
        [] => false,
        [object] => object.sha256 == end.sha256,
        _ => true,
    };
    if same && placed && stored == Some(end.bytes) && whole {
        return Ok(Uploaded { accepted, claimed: end.claimed.clone() });
    }
    Err(TransferError::Protocol(format!("it accepted '{name}' as something else than what was sent")))
}

pub(super) fn rejected(answer: Rejected) -> TransferError {
    TransferError::Rejected { artifact: answer.name, check: answer.check, reason: answer.reason }
}
