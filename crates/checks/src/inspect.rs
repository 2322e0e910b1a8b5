//! How another crate looks at what comes out of an artifact while it streams: YARA rules, secrets, file types.
//!
//! The calls of one artifact, all from one thread, never two at once:
//! ```text
//! tar            ( entry  data*  entry_end )*  finish
//! log, jsonl       entry  data*  entry_end     finish      one entry, which bears the artifact's name
//! ```
//! `data` comes in pieces of any size and only for entries with a body. `finish` comes only when the stream is whole:
//! an artifact that is rejected or given up on the way is dropped instead. An inspector keeps constant memory and says
//! what it finds with [`Findings::note`]; once a rejection is noted, nothing more is shown to it.

use drawbridge_protocol::ArtifactName;

use crate::Findings;

/// What an artifact is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.tar.zst`
    Tar,
    /// `.log.zst`
    Log,
    /// `.jsonl.zst`
    JsonLines,
}

impl Form {
    /// Artifacts have no other endings.
    pub fn of(name: &ArtifactName) -> Self {
        if name.as_str().ends_with(".tar.zst") {
            Self::Tar
        } else if name.as_str().ends_with(".log.zst") {
            Self::Log
        } else {
            Self::JsonLines
        }
    }
}

/// What a member of an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    SymbolicLink,
    HardLink,
    CharacterDevice,
    BlockDevice,
    Fifo,
    /// Any other type flag.
    Other(u8),
}

impl EntryKind {
    /// Whether it has content when it is unpacked: GNU tar and Python make an ordinary file of a kind that they do not
    /// know. Whoever looks at files looks at all of these.
    pub const fn has_content(self) -> bool {
        matches!(self, Self::File | Self::Other(_))
    }
}

/// What is known of an entry before its body.
#[derive(Clone, Copy, Debug)]
pub struct EntryHead<'a> {
    /// As it stands in the archive: any bytes, at most `max_header` of them; the artifact's name where there is no
    /// archive.
    pub path: &'a [u8],
    pub kind: EntryKind,
    /// Bytes of the body; unknown where there is no archive.
    pub size: Option<u64>,
    /// Permission bits, setuid and setgid included; 0 where there is no archive.
    pub mode: u32,
    /// Where a link leads.
    pub link: Option<&'a [u8]>,
    /// Whether a pax record gives it file capabilities.
    pub capability: bool,
    /// Counts from 0.
    pub index: u64,
}

/// Looks at one artifact. A box makes new ones for each.
pub trait Inspector: Send {
    /// An entry begins.
    fn entry(&mut self, head: &EntryHead<'_>, found: &mut Findings);
    /// The next bytes of its body.
    fn data(&mut self, bytes: &[u8], found: &mut Findings);
    /// Its body is over.
    fn entry_end(&mut self, found: &mut Findings);
    /// The artifact is whole.
    fn finish(&mut self, found: &mut Findings);
}

/// Makes the inspectors of an artifact.
pub trait Inspectors: Send + Sync {
    /// For the artifact of this name.
    fn of(&self, artifact: &ArtifactName) -> Vec<Box<dyn Inspector>>;
}

/// Looks for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInspectors;

impl Inspectors for NoInspectors {
    fn of(&self, _: &ArtifactName) -> Vec<Box<dyn Inspector>> {
        Vec::new()
    }
}
