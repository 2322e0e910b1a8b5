//! Tar archives and zstd frames as no tool of ours makes them.

use std::io::{self, Write};

/// Writes one header, and the name beyond 100 bytes as GNU does.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) flag: u8,
    pub(crate) link: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> Member<'a> {
    pub(crate) fn file(name: &'a str, body: &'a [u8]) -> Self {
        Self { name, flag: b'0', link: "", mode: "0000644", body }
    }

    pub(crate) fn of(name: &'a str, flag: u8, link: &'a str) -> Self {
        Self { name, flag, link, mode: "0000755", body: b"" }
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&header(
            self.name.as_bytes(),
            self.flag,
            self.link,
            self.mode,
            self.body.len() as u64,
        ))?;
        out.write_all(self.body)?;
        out.write_all(&vec![0; self.body.len().next_multiple_of(512) - self.body.len()])
    }
}

pub(crate) fn header(name: &[u8], flag: u8, link: &str, mode: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..107].copy_from_slice(mode.as_bytes());
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[148..156].fill(b' ');
    header[156] = flag;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// An archive of these members.
pub(crate) fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        member.write(&mut out).unwrap();
    }
    out.resize(out.len() + 1_024, 0);
    out
}

/// `write`'s bytes as one zstd frame, and how many went in.
pub(crate) fn compressed(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> (Vec<u8>, Original) {
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut counting =
        Counting { encoder, digest: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256), bytes: 0 };
    write(&mut counting).unwrap();
    let sha256 = drawbridge_protocol::Sha256::from_digest(&counting.digest.finish());
    (counting.encoder.finish().unwrap(), Original { bytes: counting.bytes, sha256 })
}

/// What an honest `End` says of an artifact.
pub(crate) struct Original {
    pub(crate) bytes: u64,
    pub(crate) sha256: drawbridge_protocol::Sha256,
}

struct Counting {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    digest: aws_lc_rs::digest::Context,
    bytes: u64,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.encoder.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
