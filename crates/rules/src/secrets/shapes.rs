//! What must follow a literal for it to be a secret. All of it is looked at where it lies, at most a window long.

use std::ops::RangeInclusive;

/// Different bytes that a random text of 20 or more characters has at the very least; `xxxx` and `0123456789` have fewer.
const VARIED: usize = 11;

/// A PEM block of a private key that is not encrypted, with key material after its first line.
pub(super) fn private_key(_: Option<u8>, rest: &[u8]) -> bool {
    let Some(label) = rest.strip_prefix(b"-----BEGIN ") else { return false };
    let Some(end) = find(label, b"-----").filter(|end| *end <= 32) else { return false };
    let kind = &label[..end];
    let private = kind.ends_with(b"PRIVATE KEY") || kind == b"PGP PRIVATE KEY BLOCK";
    if !private || kind.starts_with(b"ENCRYPTED") {
        return false;
    }
    let body = after_line(&label[end + 5..]);
    run(body, is_base64) >= 32 && varied(&body[..32])
}

/// The same in base64 once more: its label decides, and that is within the first 60 characters.
pub(super) fn encoded_private_key(_: Option<u8>, rest: &[u8]) -> bool {
    let length = run(rest, is_base64);
    if length < 160 {
        return false;
    }
    // The label's first letters in base64 differ with the label's length only after "-----BEGIN ".
    let labels: [&[u8]; 5] = [
        b"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
        b"LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt",
        b"LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0t",
        b"LS0tLS1CRUdJTiBEU0EgUFJJVkFURSBLRVkt",
        b"LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUg",
    ];
    labels.iter().any(|label| rest.starts_with(label))
}

/// `AKIA` and 16 characters of base32, standing alone; AWS's own examples are none.
pub(super) fn aws_access_key_id(before: Option<u8>, rest: &[u8]) -> bool {
    let base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    let alone = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    rest.len() >= 20
        && rest[4..20].iter().all(|byte| base32(*byte))
        && alone(before.as_ref())
        && alone(rest.get(20))
        && !rest[..20].ends_with(b"EXAMPLE")
        && distinct(&rest[4..20]) >= 7
}

/// 40 characters of base64 after the name and what stands between a name and a value.
pub(super) fn aws_secret_key(_: Option<u8>, rest: &[u8]) -> bool {
    let name = run(rest, |byte| byte.is_ascii_alphabetic() || byte == b'_');
    let value = after_separator(&rest[name..]);
    let secret = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'+';
    if run(value, secret) != 40 {
        return false;
    }
    let value = &value[..40];
    let has = |is: fn(&u8) -> bool| value.iter().any(is);
    has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && distinct(value) >= 20
        && find(value, b"EXAMPLE").is_none()
}

/// Base64 of a PEM block after `client-key-data`.
pub(super) fn kubeconfig_key(_: Option<u8>, rest: &[u8]) -> bool {
    let value = after_separator(rest.strip_prefix(b"client-key-data").unwrap_or_default());
    value.starts_with(b"LS0tLS1CRUdJTi") && run(value, is_base64) >= 160
}

/// Header, payload and a beginning of the signature, by dots.
pub(super) fn json_web_token(before: Option<u8>, rest: &[u8]) -> bool {
    if before.is_some_and(is_word) {
        return false;
    }
    let header = run(rest, is_word);
    let Some(payload) = rest[header..].strip_prefix(b".") else { return false };
    // A long payload goes past the window; what is seen of it must be one.
    let length = run(payload, is_word);
    let signed = payload.get(length).is_none_or(|byte| *byte == b'.');
    header >= 16
        && payload.starts_with(b"eyJ")
        && length >= 20
        && signed
        && distinct(&payload[..length]) >= VARIED
}

/// `SG.`, 22 characters, a dot, 43 characters.
pub(super) fn sendgrid(before: Option<u8>, rest: &[u8]) -> bool {
    let body = &rest[3..];
    let id = run(body, is_word);
    let secret = body[id..].strip_prefix(b".").unwrap_or_default();
    !before.is_some_and(is_word)
        && id == 22
        && run(secret, is_word) == 43
        && distinct(&secret[..43]) >= VARIED
}

/// A prefix of `prefix` bytes and as many characters as `length` allows, standing alone.
pub(super) fn token(before: Option<u8>, rest: &[u8], prefix: usize, length: RangeInclusive<usize>) -> bool {
    let Some(body) = rest.get(prefix..) else { return false };
    let found = run(body, is_word);
    !before.is_some_and(is_word) && length.contains(&found) && distinct(&body[..found]) >= VARIED
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/' || byte == b'='
}

/// How many of the first bytes are all of a kind.
fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is(**byte)).count()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

fn varied(bytes: &[u8]) -> bool {
    distinct(bytes) >= VARIED
}

/// What follows the end of a line, as it stands in a file or escaped in a JSON string, and the next line's indentation.
fn after_line(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\\r").or(bytes.strip_prefix(b"\r")).unwrap_or(bytes);
    let Some(bytes) = bytes.strip_prefix(b"\\n").or(bytes.strip_prefix(b"\n")) else { return &[] };
    &bytes[run(bytes, |byte| byte == b' ' || byte == b'\t').min(64)..]
}

/// What follows the signs between a name and its value: `: "`, `=`, `" => '`.
fn after_separator(bytes: &[u8]) -> &[u8] {
    let sign = |byte: u8| b" \t\"'\\:=>".contains(&byte);
    &bytes[run(bytes, sign).min(12)..]
}
