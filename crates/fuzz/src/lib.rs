//! What must hold of every parser that reads what another party wrote, whatever that is. A target takes bytes and panics
//! when a promise is broken; that it neither panics otherwise nor runs for ever is a promise as well.
//!
//! `fuzz/` (a workspace of its own) feeds them with libFuzzer; `tests/corpus.rs` plays what that kept, on every
//! `cargo test`. Nothing that ships links this crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is the finding"
)]

mod archives;
mod documents;
mod frames;
mod signed;
mod words;

/// One parser, or several that read the same.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names its directory in `fuzz/corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs beyond it are not worth their time.
    pub max_len: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "archive", run: archives::archive, max_len: 16 << 10 },
    Target { name: "artifact", run: archives::artifact, max_len: 8 << 10 },
    Target { name: "documents", run: documents::documents, max_len: 8 << 10 },
    Target { name: "frames", run: frames::frames, max_len: 8 << 10 },
    Target { name: "signed", run: signed::signed, max_len: 8 << 10 },
    Target { name: "words", run: words::words, max_len: 1 << 10 },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Bytes in pieces whose lengths depend on the bytes: the same input is always cut alike.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (piece, more) = rest.split_at((usize::from(first) * 3 + 1).min(rest.len()));
        rest = more;
        Some(piece)
    })
}
