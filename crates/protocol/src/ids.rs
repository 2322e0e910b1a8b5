//! Names and keys. A value of these types has been checked; none can be built that was not.

use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD},
};
use serde::{Deserialize, Serialize};

use crate::{ProtocolError, rejection};

/// Implements what every checked string has in common: `FromStr`, `Display`, serde, `as_str`.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = ProtocolError;
            fn try_from(text: String) -> Result<Self, ProtocolError> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map_err(|why| ProtocolError::invalid($what, why))?;
                Ok(Self(text))
            }
        }
        impl FromStr for $name {
            type Err = ProtocolError;
            fn from_str(text: &str) -> Result<Self, ProtocolError> {
                Self::try_from(text.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_string!(
    /// One session: 128 random bits as 32 lower-case hex digits. Also EC2's ClientToken of the session's box.
    SessionId,
    "session id",
    |text| hex_digits(text, 32)
);

impl SessionId {
    /// A new id from the system's random generator.
    pub fn random() -> Result<Self, ProtocolError> {
        let mut bits = [0_u8; 16];
        rand::fill(&mut bits)
            .map_err(|_| ProtocolError::invalid("session id", "the system gave no random bytes"))?;
        Ok(Self::from_bits(bits))
    }

    /// The id that these bits are. Whoever calls it answers for their randomness.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(hex(&bits))
    }
}

checked_string!(
    /// A SHA-256 digest as 64 lower-case hex digits.
    Sha256,
    "sha256",
    |text| hex_digits(text, 64)
);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest::digest(&digest::SHA256, bytes))
    }

    /// The digest that `aws_lc_rs` computed; it must be a SHA-256 one.
    pub fn from_digest(digest: &digest::Digest) -> Self {
        debug_assert_eq!(digest.as_ref().len(), 32);
        Self(hex(digest.as_ref()))
    }
}

checked_string!(
    /// The name that a stack gives its cluster: a DNS label. The cluster's objects lie under `clusters/<name>/`.
    ClusterName,
    "cluster name",
    |text| dns_name(text, 63)
);

checked_string!(
    /// The file name of one artifact: plain ASCII, no slash, ending in `.tar.zst`, `.log.zst` or `.jsonl.zst`.
    ArtifactName,
    "artifact name",
    |text| {
        if text.len() > 200 {
            return Err(format!("{} bytes, more than the 200 allowed", text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)) {
            return Err(format!("'{text}' may hold only a-z, 0-9, '.', '_' and '-'"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || text.contains("..") {
            return Err(format!("'{text}' must begin with a letter or a digit and must not hold '..'"));
        }
        if ![".tar.zst", ".log.zst", ".jsonl.zst"].iter().any(|end| text.ends_with(end)) {
            return Err(format!("'{text}' must end in .tar.zst, .log.zst or .jsonl.zst"));
        }
        Ok(())
    }
);

/// Where the boxes' markers lie below the cluster's prefix, beside its namespaces.
const ENDED: &str = "ended";

checked_string!(
    /// Where one session's objects lie in the backup bucket; ends in `/`.
    ObjectPrefix,
    "object prefix",
    |text| {
        let Some(body) = text.strip_suffix('/') else { return Err(format!("'{text}' must end in '/'")) };
        object_path(body, 700)
    }
);

impl ObjectPrefix {
    /// The prefix of one session: `clusters/<cluster>/<namespace>/<job>/<session>/`.
    pub fn of_session(
        cluster: &ClusterName,
        job: &JobRef,
        session: &SessionId,
    ) -> Result<Self, ProtocolError> {
        if job.namespace == ENDED {
            let why = format!("the namespace '{ENDED}' would lie where the boxes put their ended markers");
            return Err(ProtocolError::invalid("object prefix", why));
        }
        Self::try_from(format!("clusters/{cluster}/{}/{}/{session}/", job.namespace, job.name))
    }

    /// The key of an artifact's object; from the second on they carry a number: `x.tar.zst.0001`.
    pub fn artifact(&self, name: &ArtifactName, index: u32) -> ObjectKey {
        ObjectKey(if index == 0 { format!("{self}{name}") } else { format!("{self}{name}.{index:04}") })
    }

    /// The record of an artifact that was rejected.
    pub fn rejection(&self, name: &ArtifactName) -> ObjectKey {
        ObjectKey(format!("{self}{name}{}", rejection::SUFFIX))
    }

    /// The manifest, exactly the bytes that were signed. The last object of a session.
    pub fn manifest(&self) -> ObjectKey {
        ObjectKey(format!("{self}manifest.json"))
    }

    /// The manifest's DSSE envelope.
    pub fn manifest_envelope(&self) -> ObjectKey {
        ObjectKey(format!("{self}manifest.dsse.json"))
    }

    /// The digests of all artifacts as `sha256sum -c` reads them.
    pub fn sums(&self) -> ObjectKey {
        ObjectKey(format!("{self}SHA256SUMS"))
    }
}

checked_string!(
    /// The key of one object: no empty, `.` or `..` step, no leading slash.
    ObjectKey,
    "object key",
    |text| object_path(text, 1000)
);

impl ObjectKey {
    /// The marker whose S3 event invokes the marker function when a box's own timer ran out.
    pub fn ended(cluster: &ClusterName, session: &SessionId) -> Self {
        Self(format!("clusters/{cluster}/{ENDED}/{session}"))
    }
}

checked_string!(
    /// An SSH public key as OpenSSH writes it, `ssh-ed25519 AAAA...`, without a comment. Ed25519 only.
    SshPublicKey,
    "ssh public key",
    |text| ssh_key_blob(text).map(|_| ())
);

impl SshPublicKey {
    /// `SHA256:...`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let blob = ssh_key_blob(&self.0).unwrap_or_default();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest::digest(&digest::SHA256, &blob)))
    }
}

checked_string!(
    /// The public half of a session key: 32 bytes of Ed25519 in base64.
    SessionPublicKey,
    "session key",
    |text| match BASE64.decode(text) {
        Ok(raw) if raw.len() == 32 => Ok(()),
        Ok(raw) => Err(format!("{} bytes, an Ed25519 key has 32", raw.len())),
        Err(error) => Err(error.to_string()),
    }
);

impl SessionPublicKey {
    /// From the 32 bytes of the key.
    pub fn from_raw(raw: &[u8]) -> Result<Self, ProtocolError> {
        Self::try_from(BASE64.encode(raw))
    }

    /// The 32 bytes of the key.
    pub fn raw(&self) -> Vec<u8> {
        BASE64.decode(&self.0).unwrap_or_default()
    }
}

/// The job that a session serves, as the cluster names it. Nothing but labels: no right hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UncheckedJobRef")]
pub struct JobRef {
    /// The job's namespace: a DNS label.
    pub namespace: String,
    /// The job's name: a DNS subdomain.
    pub name: String,
    /// The object's uid as the API server gave it.
    pub uid: String,
    /// Counts from 1; each attempt has a session of its own.
    pub attempt: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedJobRef {
    namespace: String,
    name: String,
    uid: String,
    attempt: u32,
}

impl TryFrom<UncheckedJobRef> for JobRef {
    type Error = ProtocolError;

    fn try_from(job: UncheckedJobRef) -> Result<Self, ProtocolError> {
        Self::new(job.namespace, job.name, job.uid, job.attempt)
    }
}

impl JobRef {
    /// Checks each part.
    pub fn new(namespace: String, name: String, uid: String, attempt: u32) -> Result<Self, ProtocolError> {
        let invalid = |why| ProtocolError::invalid("job", why);
        dns_name(&namespace, 63).map_err(invalid)?;
        dns_name(&name, 253).map_err(invalid)?;
        if uid.is_empty() || uid.len() > 64 || !uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Err(invalid(format!("'{uid}' is not a uid")));
        }
        if attempt == 0 {
            return Err(invalid("attempts count from 1".to_owned()));
        }
        Ok(Self { namespace, name, uid, attempt })
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(DIGITS[usize::from(n)])).collect()
}

fn hex_digits(text: &str, count: usize) -> Result<(), String> {
    if text.len() == count && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(())
    } else {
        Err(format!("expected {count} lower-case hex digits"))
    }
}

/// A DNS label of at most 63 bytes.
pub(crate) fn dns_label(text: &str) -> Result<(), String> {
    dns_name(text, 63)
}

/// A DNS label, or several joined by dots where `max` allows more than 63 bytes.
fn dns_name(text: &str, max: usize) -> Result<(), String> {
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let fits = !text.is_empty() && text.len() <= max;
    let shape = if max > 63 { text.split('.').all(label) } else { label(text) };
    if fits && shape { Ok(()) } else { Err(format!("'{text}' is not a DNS name of at most {max} bytes")) }
}

fn object_path(text: &str, max: usize) -> Result<(), String> {
    if text.len() > max {
        return Err(format!("{} bytes, more than the {max} allowed", text.len()));
    }
    let step = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if text.split('/').all(step) {
        Ok(())
    } else {
        Err(format!("'{text}' has an empty, '.', '..' or odd step"))
    }
}

/// The key's blob: string "ssh-ed25519", string of 32 bytes.
fn ssh_key_blob(text: &str) -> Result<Vec<u8>, String> {
    let Some(encoded) = text.strip_prefix("ssh-ed25519 ") else {
        return Err("expected 'ssh-ed25519 AAAA...' without a comment".to_owned());
    };
    let blob = BASE64.decode(encoded).map_err(|error| error.to_string())?;
    let head = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
    if blob.len() == head.len() + 32 && blob.starts_with(head) {
        Ok(blob)
    } else {
        Err("the key is not an Ed25519 one".to_owned())
    }
}
