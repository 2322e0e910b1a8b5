//! The checks that a box makes of what streams through it: their names, what follows from each, and their limits.
//!
//! The list is closed, so that a stack with a misspelt check is refused when it is deployed and a metric's labels are
//! bounded. `docs/checks.md` says what each one is for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ProtocolError, details::Detail};

/// The longest text that [`ChecksConfig`] is read from.
pub const MAX_CHECKS_TEXT: usize = 4 << 10;

/// The largest window of a zstd frame that a box decompresses, as a power of two: what `zstd -3` takes, and so everything
/// that a cluster of ours sends.
pub const WINDOW_LOG: u32 = 21;

/// What follows when a check finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing; the check is not made.
    Off,
    /// The artifact is stored, and its verdict says flagged.
    Flag,
    /// The artifact is not stored.
    Reject,
}

impl Effect {
    /// The word that configuration, documents and metrics show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Flag => "flag",
            Self::Reject => "reject",
        }
    }
}

impl FromStr for Effect {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        match text {
            "off" => Ok(Self::Off),
            "flag" => Ok(Self::Flag),
            "reject" => Ok(Self::Reject),
            other => Err(invalid(format!("effect '{other}' is unknown; use off, flag or reject"))),
        }
    }
}

/// Declares every check once: variant, id, default effect.
macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $effect:ident;)*) => {
        /// One check. Its id is stable: stacks, manifests and dashboards name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum CheckId { $($(#[$doc])* $variant,)* }

        impl CheckId {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in configuration, documents and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// What follows where the stack does not say otherwise.
            pub const fn default_effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)* }
            }
        }

        impl FromStr for CheckId {
            type Err = ProtocolError;

            fn from_str(text: &str) -> Result<Self, ProtocolError> {
                match text {
                    $($id => Ok(Self::$variant),)*
                    other => Err(invalid(format!("there is no check '{other}'; docs/checks.md lists them"))),
                }
            }
        }
    };
}

checks! {
    /// The stream is not one whole zstd frame, or its window is larger than a box decompresses.
    ZstdDamaged = "zstd_damaged", Reject;
    /// Something follows the zstd frame.
    ZstdTrailing = "zstd_trailing", Reject;
    /// So much comes out of so few bytes that it is made to exhaust whoever unpacks it.
    ZstdRatio = "zstd_ratio", Reject;
    /// More bytes come out of one artifact than the limit.
    ArtifactBytes = "artifact_bytes", Reject;
    /// More bytes come out of the session's artifacts than the limit.
    SessionBytes = "session_bytes", Reject;
    /// What came out is not what the client says it put in.
    OriginalMismatch = "original_mismatch", Reject;
    /// The stream is not a whole tar archive.
    TarDamaged = "tar_damaged", Reject;
    /// Something follows the archive's end marker.
    TarTrailing = "tar_trailing", Reject;
    /// A member's name begins at the file system's root.
    TarAbsolutePath = "tar_absolute_path", Reject;
    /// A member's name climbs with `..`.
    TarParentPath = "tar_parent_path", Reject;
    /// A member's name holds control bytes, a backslash or a drive letter.
    TarOddName = "tar_odd_name", Flag;
    /// A member's name, or a component of it, is longer than the limit.
    TarNameLength = "tar_name_length", Reject;
    /// A symbolic link names an absolute path.
    TarSymlinkAbsolute = "tar_symlink_absolute", Off;
    /// A relative symbolic link climbs out of the archive's root.
    TarSymlinkLeaves = "tar_symlink_leaves", Flag;
    /// A hard link names an absolute path, or climbs with `..`.
    TarHardlinkLeaves = "tar_hardlink_leaves", Reject;
    /// A member would be unpacked through or over a symbolic link that came before it, by any of its names.
    TarThroughLink = "tar_through_link", Reject;
    /// A block or character device.
    TarDevice = "tar_device", Reject;
    /// A named pipe.
    TarFifo = "tar_fifo", Flag;
    /// A file with setuid, setgid or capabilities.
    TarSetuid = "tar_setuid", Flag;
    /// Two members of one name.
    TarDuplicate = "tar_duplicate", Flag;
    /// A member of a kind that a backup does not need, or a sparse or multi-volume form that not every tar unpacks.
    TarOddKind = "tar_odd_kind", Flag;
    /// A long-name or pax header larger than the limit.
    TarHeaderSize = "tar_header_size", Reject;
    /// More members than the limit.
    TarEntries = "tar_entries", Reject;
    /// A log's line is longer than the limit.
    LogLineLength = "log_line_length", Flag;
    /// A log holds more control bytes than text has.
    LogControlBytes = "log_control_bytes", Flag;
    /// A line of a JSON stream is not one object or array.
    JsonLine = "json_line", Flag;
    /// Most of the artifact looks encrypted.
    HighEntropy = "high_entropy", Flag;
    /// A YARA rule matches; which one is a detail, as in `yara.eicar_test_file`.
    Yara = "yara", Flag;
    /// A secret in the clear; what kind is a detail, as in `secret.private_key`.
    Secret = "secret", Flag;
    /// A file is of a type that the stack does not want; the type is a detail, as in `file_type.executable`.
    FileType = "file_type", Flag;
    /// Against the series' run before: everything changed and nothing compresses.
    BaselineEntropy = "baseline_entropy", Flag;
    /// Against the series' run before: far larger or far smaller.
    BaselineSize = "baseline_size", Flag;
    /// The rules could not be tried on all of it in time.
    YaraUnfinished = "yara_unfinished", Flag;
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CheckId> for String {
    fn from(check: CheckId) -> Self {
        check.as_str().to_owned()
    }
}

impl TryFrom<String> for CheckId {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        text.parse()
    }
}

/// Declares every limit once: field, default.
macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident = $default:expr, $least:expr;)*) => {
        /// What the checks measure against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct CheckLimits { $($(#[$doc])* pub $field: u64,)* }

        impl Default for CheckLimits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl CheckLimits {
            fn set(&mut self, name: &str, value: u64) -> Result<(), ProtocolError> {
                let (field, least) = match name {
                    $(stringify!($field) => (&mut self.$field, $least),)*
                    other => return Err(invalid(format!(
                        "there is no check and no limit '{other}'; docs/checks.md lists them"
                    ))),
                };
                if value < least {
                    return Err(invalid(format!("limit '{name}' must be at least {least}, got {value}")));
                }
                *field = value;
                Ok(())
            }
        }
    };
}

limits! {
    /// Bytes out of one artifact.
    max_artifact_bytes = 256 << 30, 1;
    /// Bytes out of all artifacts of a session.
    max_session_bytes = 512 << 30, 1;
    /// Bytes out for one byte in, once the artifact is past its first 64 MiB.
    max_ratio = 1_000, 2;
    /// Members of one archive.
    max_entries = 2_000_000, 1;
    /// Bytes of a member's whole name.
    max_name = 4_096, 1;
    /// Bytes of a component of a member's name.
    max_component = 255, 1;
    /// Bytes of a long-name or pax header.
    max_header = 64 << 10, 512;
    /// Bytes of a line of a log or a JSON stream.
    max_line = 1 << 20, 64;
    /// Control bytes of a log in a thousand.
    max_control_permille = 10, 1;
    /// Of a hundred bytes, those that may look encrypted.
    max_high_entropy_percent = 50, 1;
}

/// What a stack wants of the checks. It reaches the box in its orders, never in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChecksConfig {
    /// Where the stack differs from [`CheckId::default_effect`].
    pub effects: BTreeMap<CheckId, Effect>,
    /// Where it differs for one rule, detector or type of a check.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<Detail, Effect>,
    pub limits: CheckLimits,
}

impl ChecksConfig {
    /// What follows when `check` finds something.
    pub fn effect(&self, check: CheckId) -> Effect {
        self.effects.get(&check).copied().unwrap_or_else(|| check.default_effect())
    }

    /// Whether any of `checks` is made.
    pub fn wants(&self, checks: &[CheckId]) -> bool {
        let detailed = |check| {
            self.details.iter().any(|(detail, effect)| detail.check() == check && *effect != Effect::Off)
        };
        checks.iter().any(|check| self.effect(*check) != Effect::Off || detailed(*check))
    }
}

impl FromStr for ChecksConfig {
    type Err = ProtocolError;

    /// Reads `tar_setuid=reject,yara=off,max_entries=100000`, with commas, spaces or line ends between. `all=off` sets
    /// every check; what stands after it counts.
    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        if text.len() > MAX_CHECKS_TEXT {
            return Err(ProtocolError::TooLarge { what: "checks", got: text.len(), max: MAX_CHECKS_TEXT });
        }
        let mut config = Self::default();
        for item in text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|item| !item.is_empty())
        {
            let Some((name, value)) = item.split_once('=') else {
                return Err(invalid(format!("'{item}' must read check=effect or limit=number")));
            };
            if name == "all" {
                let effect = value.parse()?;
                config.effects = CheckId::ALL.iter().map(|check| (*check, effect)).collect();
                config.details.clear();
            } else if name.contains('.') {
                config.details.insert(name.parse()?, value.parse()?);
            } else if let Ok(number) = value.parse() {
                config.limits.set(name, number)?;
            } else {
                config.effects.insert(name.parse()?, value.parse()?);
            }
        }
        Ok(config)
    }
}

fn invalid(why: String) -> ProtocolError {
    ProtocolError::invalid("checks", why)
}

/// What the box saw of an artifact, or of several: what later runs of the same series are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measures {
    /// Members of the archive; 1 for a log.
    pub entries: u64,
    /// Bytes that came out of the compression.
    pub original_bytes: u64,
    pub stored_bytes: u64,
    /// Bytes of the entries' bodies.
    pub content_bytes: u64,
    /// Of them, those that look encrypted: spread evenly, in entries that do not begin as a compressed file does.
    pub high_entropy_bytes: u64,
    /// Entries that look encrypted for the greater part.
    pub high_entropy_entries: u64,
    /// Bytes in entries that begin as a compressed file does.
    pub packed_bytes: u64,
}

impl std::ops::AddAssign for Measures {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.original_bytes += other.original_bytes;
        self.stored_bytes += other.stored_bytes;
        self.content_bytes += other.content_bytes;
        self.high_entropy_bytes += other.high_entropy_bytes;
        self.high_entropy_entries += other.high_entropy_entries;
        self.packed_bytes += other.packed_bytes;
    }
}

/// What one check found in one artifact. The check is a word here, not a [`CheckId`]: who reads a manifest may be older
/// than the box that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub check: String,
    pub effect: Effect,
    pub count: u64,
    /// The first one: what and where.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub example: String,
}

/// The word of a check for a metric's label; of one that this program does not know, `other`.
pub fn label(check: &str) -> &'static str {
    // These three are made of the transfer itself and cannot be turned off.
    let known = ["digest", "size", "empty"].into_iter();
    let mut known = known.chain(CheckId::ALL.iter().map(|check| check.as_str()));
    known.find(|known| *known == check).unwrap_or("other")
}
