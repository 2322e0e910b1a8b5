//! Follows a tar stream without keeping it. Where two tars would read the same bytes differently, the archive counts as
//! damaged: what a check saw must be what comes out when it is unpacked.

mod header;
mod pax;
mod sparse;

use crate::inspect::{EntryHead, EntryKind};
use header::Header;
use sparse::SparseMap;

const BLOCK: usize = 512;
const UNREAD_MAP: &str = "tars differ in how they read the map of its sparse file";

/// What is told of an archive as it passes.
pub trait Members {
    /// A member begins. `data` follows where it has a body, and `member_end` always.
    fn member(&mut self, head: &EntryHead<'_>);
    fn data(&mut self, bytes: &[u8]);
    fn member_end(&mut self);
}

/// Nobody is told.
impl Members for () {
    fn member(&mut self, _: &EntryHead<'_>) {}
    fn data(&mut self, _: &[u8]) {}
    fn member_end(&mut self) {}
}

/// Why a stream is not a whole archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarFault {
    #[error("byte {at} does not begin a tar header: something else than tar wrote to the stream")]
    NotTar { at: u64 },
    #[error("the member at byte {at} can be read in two ways: {why}")]
    Ambiguous { at: u64, why: &'static str },
    #[error("the header at byte {at} names {size} bytes of names, more than {max}")]
    HeaderSize { at: u64, size: u64, max: u64 },
    #[error("the archive has no end marker after {bytes} bytes")]
    NoEnd { bytes: u64 },
    #[error("the archive holds nothing")]
    Empty,
    #[error("something follows the archive's end marker, at byte {at}")]
    Trailing { at: u64 },
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Header,
    /// The map of an old sparse file goes on; then so many bytes of body.
    Map {
        size: u64,
        map: SparseMap,
    },
    Body {
        left: u64,
        padding: u64,
    },
    /// Names for the next member, by a header of this flag. `left` counts their padding too.
    Names {
        flag: u8,
        size: u64,
        left: u64,
    },
    Padding {
        left: u64,
    },
    End,
}

/// What headers of names say of the member that comes next.
#[derive(Debug, Default)]
struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    capability: bool,
    pax: bool,
    gnu: bool,
}

/// Where the stream is.
#[derive(Debug)]
pub struct TarReader {
    next: Next,
    /// The part of a block that has come.
    block: Vec<u8>,
    /// The part of a header of names that has come.
    names: Vec<u8>,
    pending: Pending,
    max_header: u64,
    /// Bytes so far.
    offset: u64,
    /// Where the header at hand began.
    began: u64,
    members: u64,
    /// One zero block came; another must follow.
    zero: bool,
}

impl TarReader {
    pub fn new(max_header: u64) -> Self {
        Self {
            next: Next::Header,
            block: Vec::with_capacity(BLOCK),
            names: Vec::new(),
            pending: Pending::default(),
            max_header,
            offset: 0,
            began: 0,
            members: 0,
            zero: false,
        }
    }

    /// Takes the next bytes of the archive.
    pub fn feed(&mut self, mut chunk: &[u8], members: &mut impl Members) -> Result<(), TarFault> {
        while !chunk.is_empty() {
            let taken = self.step(chunk, members)?;
            self.offset += taken as u64;
            chunk = &chunk[taken..];
        }
        Ok(())
    }

    /// Whether the end marker has come.
    pub fn has_ended(&self) -> bool {
        self.next == Next::End
    }

    /// Members so far.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Whether the archive may end here.
    pub fn finish(&self) -> Result<(), TarFault> {
        if self.next != Next::End || !self.offset.is_multiple_of(BLOCK as u64) {
            return Err(TarFault::NoEnd { bytes: self.offset });
        }
        if self.members == 0 { Err(TarFault::Empty) } else { Ok(()) }
    }

    /// Consumes a run of `chunk` that belongs together and says how long it was.
    fn step(&mut self, chunk: &[u8], members: &mut impl Members) -> Result<usize, TarFault> {
        match &mut self.next {
            Next::Header => self.collect(chunk, |reader, block| reader.header(block, members)),
            Next::Map { size, map } => {
                let (size, map) = (*size, *map);
                self.collect(chunk, |reader, block| match map.follow(block) {
                    Some(map) => reader.sparse_body(size, map, members),
                    None => Err(reader.ambiguous(UNREAD_MAP)),
                })
            }
            Next::Body { left, padding } => {
                let taken = take(left, chunk);
                members.data(&chunk[..taken]);
                if *left == 0 {
                    let padding = *padding;
                    members.member_end();
                    self.pad(padding);
                }
                Ok(taken)
            }
            Next::Names { flag, size, left } => {
                let taken = take(left, chunk);
                self.names.extend_from_slice(&chunk[..taken]);
                if *left == 0 {
                    let (flag, size) = (*flag, *size);
                    self.close_names(flag, size)?;
                    self.next = Next::Header;
                }
                Ok(taken)
            }
            Next::Padding { left } => {
                let taken = take(left, chunk);
                if *left == 0 {
                    self.next = Next::Header;
                }
                Ok(taken)
            }
            Next::End => match chunk.iter().position(|&byte| byte != 0) {
                None => Ok(chunk.len()),
                Some(at) => Err(TarFault::Trailing { at: self.offset + at as u64 }),
            },
        }
    }

    /// Waits for a whole block, which may come in pieces, and reads it.
    fn collect(
        &mut self,
        chunk: &[u8],
        read: impl FnOnce(&mut Self, &[u8; BLOCK]) -> Result<(), TarFault>,
    ) -> Result<usize, TarFault> {
        if self.block.is_empty()
            && let Some(block) = chunk.first_chunk()
        {
            read(self, block)?;
            return Ok(BLOCK);
        }
        let taken = (BLOCK - self.block.len()).min(chunk.len());
        self.block.extend_from_slice(&chunk[..taken]);
        if let Some(&block) = self.block.first_chunk::<BLOCK>() {
            self.block.clear();
            read(self, &block)?;
        }
        Ok(taken)
    }

    fn header(&mut self, block: &[u8; BLOCK], members: &mut impl Members) -> Result<(), TarFault> {
        // Of a block that came in pieces, all but the last are counted.
        self.began = self.offset / BLOCK as u64 * BLOCK as u64;
        let pending = self.pending.pax || self.pending.gnu;
        if block.iter().all(|&byte| byte == 0) {
            if pending {
                return Err(self.ambiguous("names stand before the end marker"));
            }
            self.next = if std::mem::replace(&mut self.zero, true) { Next::End } else { Next::Header };
            return Ok(());
        }
        if self.zero {
            return Err(self.ambiguous("a single zero block stands before it, where some tars end"));
        }
        let Some(header) = Header::parse(block) else { return Err(TarFault::NotTar { at: self.began }) };
        if header.unread_prefix {
            return Err(self.ambiguous("some tars would read a prefix of its name"));
        }
        if header.unread_map {
            return Err(self.ambiguous(UNREAD_MAP));
        }
        match header.flag {
            b'X' => Err(self.ambiguous("some tars would read names of the next member in it")),
            flag @ (b'x' | b'g' | b'L' | b'K') => self.begin_names(flag, header.size),
            _ => self.member(header, members),
        }
    }

    fn begin_names(&mut self, flag: u8, size: u64) -> Result<(), TarFault> {
        if size > self.max_header {
            return Err(TarFault::HeaderSize { at: self.began, size, max: self.max_header });
        }
        let twice = match flag {
            b'x' | b'g' => self.pending.pax || self.pending.gnu,
            b'L' => self.pending.pax || self.pending.path.is_some(),
            _ => self.pending.pax || self.pending.link.is_some(),
        };
        if twice {
            return Err(self.ambiguous("several headers give it a name"));
        }
        self.names.clear();
        self.next = Next::Names { flag, size, left: size + padding(size) };
        if size == 0 {
            self.close_names(flag, size)?;
            self.next = Next::Header;
        }
        Ok(())
    }

    fn close_names(&mut self, flag: u8, size: u64) -> Result<(), TarFault> {
        let mut names = std::mem::take(&mut self.names);
        let padding = names.split_off(usize::try_from(size).unwrap_or(usize::MAX).min(names.len()));
        // GNU tar and Python read whole blocks and end a name at its NUL, Python a pax header too; others go by the size.
        let ended = flag.is_ascii_uppercase() && names.contains(&0);
        if !ended && padding.first().is_some_and(|&byte| byte != 0) {
            return Err(self.ambiguous("some tars would read on past the size that its names have"));
        }
        match flag {
            b'L' => {
                self.pending.gnu = true;
                self.pending.path = Some(header::text(&names).to_vec());
            }
            b'K' => {
                self.pending.gnu = true;
                self.pending.link = Some(header::text(&names).to_vec());
            }
            _ => pax::read(&names, flag == b'g', &mut self.pending).map_err(|why| self.ambiguous(why))?,
        }
        Ok(())
    }

    fn member(&mut self, header: Header, members: &mut impl Members) -> Result<(), TarFault> {
        let pending = std::mem::take(&mut self.pending);
        let size = match pending.size {
            Some(_) if header.map.is_some() => {
                return Err(self.ambiguous("its pax header gives a sparse file another size"));
            }
            Some(size) if header.size != 0 && header.size != size => {
                return Err(self.ambiguous("its header and its pax header differ in size"));
            }
            Some(size) => size,
            None => header.size,
        };
        let slash = header.name.ends_with(b"/");
        let path = pending.path.unwrap_or(header.name);
        let by_name = matches!(header.flag, 0 | b'0' | b'7') && (slash || path.ends_with(b"/"));
        if by_name && (header.flag != 0 || !slash || !path.ends_with(b"/")) {
            return Err(self.ambiguous("some tars would take it for a directory"));
        }
        let kind = kind(header.flag, &path);
        if !kind.has_content() && size != 0 {
            return Err(self.ambiguous("it has a size, and members of its kind have no body"));
        }
        let link = pending.link.unwrap_or(header.link);
        let is_link = matches!(kind, EntryKind::SymbolicLink | EntryKind::HardLink);
        members.member(&EntryHead {
            path: &path,
            kind,
            size: Some(size),
            mode: header.mode,
            link: is_link.then_some(&link[..]),
            capability: pending.capability,
            index: self.members,
        });
        self.members += 1;
        if let Some(map) = header.map {
            return self.sparse_body(size, map, members);
        }
        self.body(size, members);
        Ok(())
    }

    /// The rest of a sparse file's map, or what is stored of it.
    fn sparse_body(&mut self, size: u64, map: SparseMap, members: &mut impl Members) -> Result<(), TarFault> {
        if map.goes_on() {
            self.next = Next::Map { size, map };
        } else if map.stored() == size {
            self.body(size, members);
        } else {
            return Err(self.ambiguous(UNREAD_MAP));
        }
        Ok(())
    }

    fn body(&mut self, size: u64, members: &mut impl Members) {
        if size == 0 {
            members.member_end();
            self.next = Next::Header;
        } else {
            self.next = Next::Body { left: size, padding: padding(size) };
        }
    }

    fn pad(&mut self, left: u64) {
        self.next = if left == 0 { Next::Header } else { Next::Padding { left } };
    }

    fn ambiguous(&self, why: &'static str) -> TarFault {
        TarFault::Ambiguous { at: self.began, why }
    }
}

/// Takes what `chunk` has of the bytes that are `left`.
fn take(left: &mut u64, chunk: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.len());
    *left -= taken as u64;
    taken
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn kind(flag: u8, path: &[u8]) -> EntryKind {
    match flag {
        // Before there was a flag for directories, a name with a slash at its end was one.
        0 if path.ends_with(b"/") => EntryKind::Directory,
        0 | b'0' | b'7' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::SymbolicLink,
        b'3' => EntryKind::CharacterDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        flag => EntryKind::Other(flag),
    }
}

#[cfg(test)]
pub(crate) mod tests;
