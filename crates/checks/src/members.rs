//! The checks of an archive's structure, member by member.

use drawbridge_protocol::checks::{CheckId, CheckLimits};

use crate::{
    EntryHead, EntryKind, Findings, Path, names,
    seen::{Name, Seen},
    shared::Shared,
};

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
/// Bytes of a path, its end included, that Linux takes. A link of a longer name is none that anything can lead through; to
/// look such parents up as well would cost the square of a name's length.
const PATH_MAX: usize = 4_096;

/// What must be remembered of the members before.
#[derive(Debug)]
pub(crate) struct Structure {
    limits: CheckLimits,
    names: Seen,
    links: Seen,
}

impl Structure {
    pub(crate) fn new(limits: CheckLimits, shared: &Shared) -> Self {
        Self { limits, names: Seen::new(shared.names.clone()), links: Seen::new(shared.links.clone()) }
    }

    pub(crate) fn member(&mut self, head: &EntryHead<'_>, found: &mut Findings) {
        let EntryHead { path, kind, mode, link, capability, index, .. } = *head;
        if index == self.limits.max_entries {
            found.note(CheckId::TarEntries, format_args!("more than {} members", self.limits.max_entries));
        }
        names::look(path, &self.limits, found);
        match kind {
            EntryKind::CharacterDevice | EntryKind::BlockDevice => {
                found.note(CheckId::TarDevice, format_args!("'{}'", Path(path)));
            }
            EntryKind::Fifo => found.note(CheckId::TarFifo, format_args!("'{}'", Path(path))),
            EntryKind::Other(flag) => found.note(
                CheckId::TarOddKind,
                format_args!("'{}' is of kind '{}'", Path(path), flag.escape_ascii()),
            ),
            _ => {}
        }
        // On a directory setgid only says which group new files get, and capabilities say nothing.
        if kind.has_content() || kind == EntryKind::HardLink {
            if mode & (SETUID | SETGID) != 0 {
                found.note(CheckId::TarSetuid, format_args!("'{}', mode {mode:04o}", Path(path)));
            }
            if capability {
                found.note(
                    CheckId::TarSetuid,
                    format_args!("'{}', capabilities by its pax record security.capability", Path(path)),
                );
            }
        }
        let Some(normal) = names::normal(path) else { return };
        self.through_link(path, &normal, found);
        let makes_link = self.makes_link(kind, link);
        if !makes_link && self.links.contains(&normal) {
            found.note(
                CheckId::TarThroughLink,
                format_args!("'{}' would be written through the symbolic link of that name", Path(path)),
            );
        }
        match (kind, link) {
            (EntryKind::SymbolicLink, Some(target)) => symbolic(path, &normal, target, found),
            (EntryKind::HardLink, Some(target)) => {
                self.hard(path, target, found);
                if makes_link {
                    less_deep(path, &normal, target, found);
                }
            }
            _ => {}
        }
        let remembered = found.wants(CheckId::TarThroughLink) || found.wants(CheckId::TarSymlinkLeaves);
        if makes_link && remembered && self.links.insert(&normal) == Name::Unkept {
            found.note(
                CheckId::TarThroughLink,
                format_args!("more symbolic links than can be remembered; '{}' is one too many", Path(path)),
            );
        }
        // A directory that comes twice is the same directory; a name that was one and becomes a file is not.
        if kind != EntryKind::Directory
            && found.wants(CheckId::TarDuplicate)
            && self.names.insert(&normal) == Name::Known
        {
            found.note(CheckId::TarDuplicate, format_args!("'{}'", Path(path)));
        }
    }

    /// Whether a symbolic link comes of it. One does of a hard link to one: tar makes it where two names share a link, and
    /// where it is told to gather a name twice.
    fn makes_link(&self, kind: EntryKind, link: Option<&[u8]>) -> bool {
        let target = link.filter(|_| kind == EntryKind::HardLink).and_then(names::normal);
        kind == EntryKind::SymbolicLink || target.is_some_and(|target| self.links.contains(&target))
    }

    fn through_link(&self, path: &[u8], normal: &[u8], found: &mut Findings) {
        if self.links.is_empty() {
            return;
        }
        let mut parents = names::parents(normal).take_while(|parent| parent.len() < PATH_MAX);
        if let Some(link) = parents.find(|parent| self.links.contains(parent)) {
            found.note(
                CheckId::TarThroughLink,
                format_args!("'{}' lies behind the symbolic link '{}'", Path(path), Path(link)),
            );
        }
    }

    fn hard(&self, path: &[u8], target: &[u8], found: &mut Findings) {
        // Where `a` is a symbolic link, `a/../b` may leave though its letters do not.
        if target.first() == Some(&b'/') || names::climbs(target) {
            found.note(CheckId::TarHardlinkLeaves, format_args!("'{}' -> '{}'", Path(path), Path(target)));
        } else if let Some(normal) = names::normal(target) {
            self.through_link(path, &normal, found);
        }
    }
}

/// A symbolic link's second name that lies less deep: from there its target may lead out though from the first it does not.
fn less_deep(path: &[u8], normal: &[u8], target: &[u8], found: &mut Findings) {
    let Some(first) = names::normal(target) else { return };
    if names::parents(normal).count() < names::parents(&first).count() {
        found.note(
            CheckId::TarSymlinkLeaves,
            format_args!(
                "'{}' is less deep than the symbolic link '{}' that it is",
                Path(path),
                Path(target)
            ),
        );
    }
}

fn symbolic(path: &[u8], normal: &[u8], target: &[u8], found: &mut Findings) {
    if target.first() == Some(&b'/') {
        found.note(CheckId::TarSymlinkAbsolute, format_args!("'{}' -> '{}'", Path(path), Path(target)));
    } else if names::led_to(normal, target).is_none() {
        found.note(CheckId::TarSymlinkLeaves, format_args!("'{}' -> '{}'", Path(path), Path(target)));
    }
}
