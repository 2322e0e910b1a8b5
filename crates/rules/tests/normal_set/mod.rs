//! A seeded set of what backups of configuration and logs hold: every run of a seed makes the same bytes.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fmt::Write as _;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const WORDS: &[&str] = &[
    "server",
    "listen",
    "upstream",
    "timeout",
    "retry",
    "backup",
    "bitcoin",
    "encrypted",
    "files",
    "decrypt",
    "token",
    "secret",
    "private",
    "key",
    "user",
    "session",
    "eval",
    "system",
    "pool",
    "worker",
    "level",
    "info",
    "cluster",
    "node",
    "region",
    "bucket",
    "policy",
    "tor",
    "onion",
    "monero",
    "stratum",
    "curl",
    "wget",
    "bash",
    "shadow",
    "password",
    "AKIA",
    "BEGIN",
    "PRIVATE",
    "certificate",
    "client-key-data",
    "gateway",
    "cache",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Makes files.
pub(crate) struct Set {
    random: StdRng,
    made: usize,
}

impl Set {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), made: 0 }
    }

    /// Files of every kind, so many bytes in all or a little more. Their names do not depend on the seed.
    pub(crate) fn files(&mut self, bytes: usize) -> Vec<(String, Vec<u8>)> {
        let (mut files, mut left) = (Vec::new(), bytes);
        while left > 0 {
            let next = self.file();
            left = left.saturating_sub(next.1.len());
            files.push(next);
        }
        files
    }

    /// The next file.
    pub(crate) fn file(&mut self) -> (String, Vec<u8>) {
        let index = self.made;
        self.made += 1;
        let lines = 1 + self.random.random_range(0..400);
        let (ending, text) = match index % 8 {
            0 => ("conf", self.lines(lines, |set| format!("{} = {}\n", set.word(), set.value()))),
            1 => ("yaml", self.lines(lines, |set| format!("  {}: \"{}\"\n", set.word(), set.value()))),
            2 => ("json", self.json(lines)),
            3 => ("sh", self.script(lines)),
            4 => ("crt", self.certificates(1 + lines / 100)),
            5 => ("log", String::from_utf8_lossy(&self.log(lines * 120)).into_owned()),
            6 => (
                "env",
                self.lines(lines, |set| format!("export {}={}\n", set.word().to_uppercase(), set.hex(40))),
            ),
            _ => ("md", self.lines(lines, |set| format!("{} {} {}\n", set.word(), set.value(), set.word()))),
        };
        (format!("etc/{}/{index}.{ending}", index % 50), text.into_bytes())
    }

    /// Lines as services write them.
    pub(crate) fn log(&mut self, bytes: usize) -> Vec<u8> {
        let mut log = String::new();
        let mut second = 0;
        while log.len() < bytes {
            second += self.random.random_range(0..3);
            let (word, value, id) = (self.word(), self.value(), self.hex(32));
            let _ = writeln!(
                log,
                "2026-11-22T{:02}:{:02}:{:02}Z INFO request={id} {word}=\"{value}\" status=200 bytes={}",
                second / 3600 % 24,
                second / 60 % 60,
                second % 60,
                self.random.random_range(0..100_000)
            );
        }
        log.into_bytes()
    }

    fn lines(&mut self, count: usize, line: impl Fn(&mut Self) -> String) -> String {
        (0..count).map(|_| line(self)).collect()
    }

    fn json(&mut self, count: usize) -> String {
        let body = self.lines(count, |set| {
            format!("  {{\"{}\": \"{}\", \"n\": {}}},\n", set.word(), set.value(), set.made)
        });
        format!("[\n{body}  {{}}\n]\n")
    }

    fn script(&mut self, count: usize) -> String {
        let body = self.lines(count, |set| {
            format!(
                "if [ -f /etc/{} ]; then curl -fsS https://{}.example.com | grep {}; fi\n",
                set.word(),
                set.word(),
                set.word()
            )
        });
        format!("#!/bin/sh\nset -eu\n{body}")
    }

    fn certificates(&mut self, count: usize) -> String {
        self.lines(count, |set| {
            let lines: Vec<_> = (0..20).map(|_| set.text(BASE64, 64)).collect();
            let body = lines.join("\n") + "\n";
            format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
        })
    }

    fn word(&mut self) -> String {
        WORDS[self.random.random_range(0..WORDS.len())].to_owned()
    }

    /// A few words, a number, a path, a digest or an address.
    fn value(&mut self) -> String {
        match self.random.random_range(0..5) {
            0 => format!("{} {} {}", self.word(), self.word(), self.word()),
            1 => self.random.random_range(0..1_000_000).to_string(),
            2 => format!("/var/lib/{}/{}.sock", self.word(), self.word()),
            3 => format!("sha256:{}", self.hex(64)),
            _ => format!("10.{}.{}.1:{}", self.made % 256, self.random.random_range(0..256), 8080),
        }
    }

    fn hex(&mut self, length: usize) -> String {
        self.text(b"0123456789abcdef", length)
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(alphabet[self.random.random_range(0..alphabet.len())])).collect()
    }
}
