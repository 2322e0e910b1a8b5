//! What is looked at in the decompressed stream: structure or lines, entropy, and whatever inspectors look for.

use drawbridge_protocol::{
    ArtifactName,
    checks::{CheckId, CheckLimits, Measures},
};

use crate::{
    EntryHead, EntryKind, Findings, Form, Inspector, Shared,
    entropy::{Meter, Spread},
    lines::Lines,
    members::Structure,
    tar::{Members, TarFault, TarReader},
};

/// Less content than this is too little to say that most of it looks encrypted: a key store is no attack.
const LEAST_CONTENT: u64 = 64 << 10;

/// The decompressed stream's reader.
pub(crate) struct Look {
    reader: Reader,
    entries: Entries,
    max_high_entropy_percent: u64,
    over: bool,
}

enum Reader {
    Tar(Box<TarReader>, Box<Structure>),
    Lines(Box<Lines>),
    /// The archive cannot be followed any further.
    Blind,
}

/// What every entry goes through.
struct Entries {
    inspectors: Vec<Box<dyn Inspector>>,
    meter: Meter,
    measures: Measures,
}

impl Look {
    pub(crate) fn new(
        name: &ArtifactName,
        form: Form,
        limits: &CheckLimits,
        shared: &Shared,
        inspectors: Vec<Box<dyn Inspector>>,
        found: &mut Findings,
    ) -> Self {
        let entries = Entries { inspectors, meter: Meter::new(), measures: Measures::default() };
        let reader = match form {
            Form::Tar => Reader::Tar(
                Box::new(TarReader::new(limits.max_header)),
                Box::new(Structure::new(*limits, shared)),
            ),
            Form::Log | Form::JsonLines => Reader::Lines(Box::new(Lines::new(form, limits))),
        };
        let max_high_entropy_percent = limits.max_high_entropy_percent;
        let mut look = Self { reader, entries, max_high_entropy_percent, over: false };
        look.open(name, found);
        look
    }

    /// A stream that is no archive is one entry, which has begun.
    fn open(&mut self, name: &ArtifactName, found: &mut Findings) {
        if let Reader::Lines(_) = self.reader {
            let path = name.as_str().as_bytes();
            let kind = EntryKind::File;
            let head = EntryHead { path, kind, size: None, mode: 0, link: None, capability: false, index: 0 };
            self.entries.begin(&head, found);
        }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], found: &mut Findings) {
        match &mut self.reader {
            Reader::Tar(reader, structure) => {
                let mut members = Checked { structure, entries: &mut self.entries, found };
                if let Err(fault) = reader.feed(bytes, &mut members) {
                    self.damaged(&fault, found);
                }
            }
            Reader::Lines(lines) => {
                lines.feed(bytes, found);
                self.entries.data(bytes, found);
            }
            Reader::Blind => {}
        }
    }

    /// The stream is whole.
    pub(crate) fn finish(&mut self, found: &mut Findings) {
        match &mut self.reader {
            Reader::Tar(reader, _) => {
                if let Err(fault) = reader.finish() {
                    self.damaged(&fault, found);
                }
            }
            Reader::Lines(lines) => {
                lines.finish(found);
                self.entries.end(found);
            }
            Reader::Blind => {}
        }
        self.look_encrypted(found);
        if !matches!(self.reader, Reader::Blind) && found.rejection().is_none() {
            for inspector in &mut self.entries.inspectors {
                inspector.finish(found);
            }
        }
    }

    /// Nothing more is looked at.
    pub(crate) fn give_up(&mut self) {
        self.over = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn measures(&self) -> Measures {
        self.entries.measures
    }

    fn damaged(&mut self, fault: &TarFault, found: &mut Findings) {
        let check = match fault {
            TarFault::Trailing { .. } => CheckId::TarTrailing,
            TarFault::HeaderSize { .. } => CheckId::TarHeaderSize,
            _ => CheckId::TarDamaged,
        };
        found.note(check, fault);
        self.reader = Reader::Blind;
    }

    fn look_encrypted(&self, found: &mut Findings) {
        let Measures { entries, content_bytes, high_entropy_bytes, high_entropy_entries, .. } =
            self.entries.measures;
        let many = u128::from(high_entropy_bytes) * 100
            > u128::from(content_bytes) * u128::from(self.max_high_entropy_percent);
        if content_bytes >= LEAST_CONTENT && many {
            found.note(
                CheckId::HighEntropy,
                format_args!(
                    "{high_entropy_bytes} of {content_bytes} bytes look encrypted, in {high_entropy_entries} of \
                     {entries} entries"
                ),
            );
        }
    }
}

impl Entries {
    fn begin(&mut self, head: &EntryHead<'_>, found: &mut Findings) {
        self.measures.entries += 1;
        for inspector in &mut self.inspectors {
            inspector.entry(head, found);
        }
    }

    fn data(&mut self, bytes: &[u8], found: &mut Findings) {
        self.meter.feed(bytes);
        for inspector in &mut self.inspectors {
            inspector.data(bytes, found);
        }
    }

    fn end(&mut self, found: &mut Findings) {
        let Spread { bytes, even, packed } = self.meter.end();
        self.measures.content_bytes += bytes;
        if packed {
            self.measures.packed_bytes += bytes;
        } else {
            self.measures.high_entropy_bytes += even;
            self.measures.high_entropy_entries += u64::from(even * 2 > bytes);
        }
        for inspector in &mut self.inspectors {
            inspector.entry_end(found);
        }
    }
}

/// An archive's members on their way through the checks. After a rejection nothing more is shown.
struct Checked<'a> {
    structure: &'a mut Structure,
    entries: &'a mut Entries,
    found: &'a mut Findings,
}

impl Members for Checked<'_> {
    fn member(&mut self, head: &EntryHead<'_>) {
        if self.found.rejection().is_none() {
            self.structure.member(head, self.found);
            self.entries.begin(head, self.found);
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        if self.found.rejection().is_none() {
            self.entries.data(bytes, self.found);
        }
    }

    fn member_end(&mut self) {
        if self.found.rejection().is_none() {
            self.entries.end(self.found);
        }
    }
}
