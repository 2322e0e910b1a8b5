//! SSH's transport from the server's side, in the one set of algorithms that the client always offers, for boxes that do
//! what russh's server will not: <https://www.rfc-editor.org/rfc/rfc4253>.

use std::io;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Kinds of messages.
pub(crate) mod kind {
    pub(crate) const KEXINIT: u8 = 20;
    pub(crate) const NEWKEYS: u8 = 21;
    pub(crate) const ECDH_INIT: u8 = 30;
    pub(crate) const ECDH_REPLY: u8 = 31;
}

const VERSION: &[u8] = b"SSH-2.0-box";
/// Key exchange, host key, ciphers, MACs, compression and languages, each way.
const ALGORITHMS: [&[u8]; 10] = [
    b"curve25519-sha256",
    b"ssh-ed25519",
    b"aes256-gcm@openssh.com",
    b"aes256-gcm@openssh.com",
    b"hmac-sha2-256-etm@openssh.com",
    b"hmac-sha2-256-etm@openssh.com",
    b"none",
    b"none",
    b"",
    b"",
];
const TAG: usize = 16;

/// A message that is being written.
#[derive(Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn of(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn string(self, bytes: &[u8]) -> Self {
        let mut with_length = self.u32(u32::try_from(bytes.len()).unwrap());
        with_length.0.extend_from_slice(bytes);
        with_length
    }
}

/// A message that is being read, past its kind.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u32(&mut self) -> u32 {
        let (number, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        u32::from_be_bytes(*number)
    }

    pub(crate) fn string(&mut self) -> &'a [u8] {
        let length = self.u32() as usize;
        let (string, rest) = self.0.split_at(length);
        self.0 = rest;
        string
    }
}

/// One direction's key.
struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
}

impl Key {
    fn new(key: &[u8], iv: &[u8]) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        Self { key, iv: iv[..12].try_into().unwrap() }
    }

    /// Each packet's is one more than the one before.
    fn nonce(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.iv);
        let count = u64::from_be_bytes(self.iv[4..].try_into().unwrap()).wrapping_add(1);
        self.iv[4..].copy_from_slice(&count.to_be_bytes());
        nonce
    }
}

/// A connection's transport.
pub(crate) struct Wire {
    stream: TcpStream,
    client_version: Vec<u8>,
    /// Our offer and the client's, of the exchange under way.
    offers: (Vec<u8>, Vec<u8>),
    session: Option<Vec<u8>>,
    reading: Option<Key>,
    writing: Option<Key>,
    /// Takes over when the client says so.
    next_reading: Option<Key>,
}

impl Wire {
    /// Exchanges versions.
    pub(crate) async fn new(mut stream: TcpStream) -> io::Result<Self> {
        stream.write_all(&[VERSION, b"\r\n"].concat()).await?;
        let mut client_version = Vec::new();
        while !client_version.ends_with(b"\r\n") {
            client_version.push(stream.read_u8().await?);
        }
        client_version.truncate(client_version.len() - 2);
        let offers = Default::default();
        let (session, reading, writing, next_reading) = (None, None, None, None);
        Ok(Self { stream, client_version, offers, session, reading, writing, next_reading })
    }

    /// Whether keys were exchanged before.
    pub(crate) fn is_keyed(&self) -> bool {
        self.session.is_some()
    }

    /// Asks for an exchange of keys.
    pub(crate) async fn offer(&mut self) -> io::Result<()> {
        let mut offer = Message::of(kind::KEXINIT);
        offer.0.extend_from_slice(&[7; 16]);
        for names in ALGORITHMS {
            offer = offer.string(names);
        }
        let offer = offer.byte(0).u32(0);
        self.offers.0.clone_from(&offer.0);
        self.write(&offer).await
    }

    /// The client's side of it.
    pub(crate) fn offered(&mut self, message: &[u8]) {
        self.offers.1 = message.to_vec();
    }

    /// Answers `ECDH_INIT` with this host key, and takes the new keys for what is written from now on.
    pub(crate) async fn exchange(&mut self, init: &[u8], host: &Ed25519KeyPair) -> io::Result<()> {
        let theirs = Reader(&init[1..]).string();
        let ours = PrivateKey::generate(&X25519).unwrap();
        let public = ours.compute_public_key().unwrap();
        let peer = UnparsedPublicKey::new(&X25519, theirs);
        let secret = agree(&ours, peer, (), |secret| Ok(secret.to_vec())).unwrap();
        let secret = Message::default().string(&integer(&secret)).0;

        let host_key = Message::default().string(b"ssh-ed25519").string(host.public_key().as_ref()).0;
        let mut hashed = Message::default()
            .string(&self.client_version)
            .string(VERSION)
            .string(&self.offers.1)
            .string(&self.offers.0)
            .string(&host_key)
            .string(theirs)
            .string(public.as_ref());
        hashed.0.extend_from_slice(&secret);
        let hash = digest(&SHA256, &hashed.0).as_ref().to_vec();
        let signature = Message::default().string(b"ssh-ed25519").string(host.sign(&hash).as_ref()).0;
        let reply =
            Message::of(kind::ECDH_REPLY).string(&host_key).string(public.as_ref()).string(&signature);
        self.write(&reply).await?;
        self.write(&Message::of(kind::NEWKEYS)).await?;

        let session = self.session.get_or_insert_with(|| hash.clone()).clone();
        let derive = |letter: u8| {
            digest(&SHA256, &[&secret[..], &hash, &[letter], &session].concat()).as_ref().to_vec()
        };
        self.next_reading = Some(Key::new(&derive(b'C'), &derive(b'A')));
        self.writing = Some(Key::new(&derive(b'D'), &derive(b'B')));
        Ok(())
    }

    /// The client writes under the new keys from now on.
    pub(crate) fn renew(&mut self) {
        self.reading = self.next_reading.take();
    }

    pub(crate) async fn write(&mut self, Message(payload): &Message) -> io::Result<()> {
        // In the clear the length counts towards the block, under AES-GCM it does not.
        let (block, counted) = if self.writing.is_some() { (16, 1) } else { (8, 5) };
        let padding = 4 + (block - (counted + payload.len() + 4) % block) % block;
        let mut packet = vec![u8::try_from(padding).unwrap()];
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding, 0);
        let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
        if let Some(key) = &mut self.writing {
            let nonce = key.nonce();
            key.key.seal_in_place_append_tag(nonce, Aad::from(length), &mut packet).unwrap();
        }
        self.stream.write_all(&[&length[..], &packet].concat()).await
    }

    pub(crate) async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let tag = if self.reading.is_some() { TAG } else { 0 };
        let mut packet = vec![0; u32::from_be_bytes(length) as usize + tag];
        self.stream.read_exact(&mut packet).await?;
        if let Some(key) = &mut self.reading {
            let nonce = key.nonce();
            key.key.open_in_place(nonce, Aad::from(length), &mut packet).unwrap();
            packet.truncate(packet.len() - TAG);
        }
        let end = packet.len() - usize::from(packet[0]);
        Ok(packet[1..end].to_vec())
    }
}

/// SSH's form of a positive integer.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut integer = bytes[start..].to_vec();
    if integer.first().is_some_and(|byte| *byte >= 0x80) {
        integer.insert(0, 0);
    }
    integer
}
