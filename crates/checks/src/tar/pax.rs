//! The records of a pax extended header: `<length> <key>=<value>\n`, the length counting itself. A value may hold line
//! ends, so only the lengths say where a record is over.

/// A key and its value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The first record of `bytes`, and what follows it; nothing where it is malformed.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let digits = std::str::from_utf8(&bytes[..space]).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: usize = digits.parse().ok()?;
    let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some(((&body[..equals], &body[equals + 1..]), &bytes[length..]))
}

/// All records in order; nothing if one is malformed.
pub(super) fn records(mut bytes: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (found, rest) = record(bytes)?;
        records.push(found);
        bytes = rest;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_by_their_lengths() {
        let bytes = b"32 path=a\n20 size=10000000000\nb\n12 mtime=12\n";
        let expected: Vec<Record<'_>> = vec![(b"path", b"a\n20 size=10000000000\nb"), (b"mtime", b"12")];
        assert_eq!(records(bytes), Some(expected));
        assert_eq!(records(b""), Some(Vec::new()));
        assert_eq!(records(b"6 a=b\n"), Some(vec![(&b"a"[..], &b"b"[..])]));
    }

    #[test]
    fn what_does_not_add_up_is_malformed() {
        for bytes in [
            &b"x"[..],
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 abb\n",
            b"+6 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"6 a=bx",
            b"99999999999999999999 a=b\n",
            b"6 a=b\n\0\0",
        ] {
            assert_eq!(records(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
