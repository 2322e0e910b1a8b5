//! The records of a pax extended header: `<length> <key>=<value>\n`, the length counting itself. A value may hold line
//! ends, so only the lengths say where a record is over.

use super::Pending;

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

/// Reads what a header says of the next member, or of all that follow where it is `global`. The error says why tars
/// differ.
pub(super) fn read(bytes: &[u8], global: bool, pending: &mut Pending) -> Result<(), &'static str> {
    for (key, value) in records(bytes).ok_or("its pax header is malformed")? {
        let field = match key {
            b"path" => &mut pending.path,
            b"linkpath" => &mut pending.link,
            b"size" => {
                let digits = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
                let size = digits.and_then(|text| text.parse::<u64>().ok());
                let size = size.ok_or("its pax header has a size that is no number")?;
                if global || pending.size.replace(size).is_some() {
                    return Err("several headers give it a size");
                }
                continue;
            }
            // Some tars go by its names and sizes, others do not know them, and unpack its map with its content.
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err("its pax header makes it sparse, which some tars do not know");
            }
            _ if is_capability(key) => {
                if global {
                    return Err("its pax header gives capabilities to all members, which some tars do not");
                }
                pending.capability = true;
                continue;
            }
            _ => continue,
        };
        if global || field.is_some() || value.contains(&0) {
            return Err("its pax headers give it a name for many, twice, or with a NUL");
        }
        *field = Some(value.to_vec());
    }
    pending.pax |= !global;
    Ok(())
}

/// Whether a record of this key gives a file capabilities: as GNU tar and star name the extended attribute, or as
/// libarchive does, which escapes any byte of it as in a URL.
fn is_capability(key: &[u8]) -> bool {
    const NAME: &[u8] = b"security.capability";
    key.strip_prefix(b"SCHILY.xattr.").is_some_and(|name| name == NAME)
        || key.strip_prefix(b"LIBARCHIVE.xattr.").is_some_and(|name| unescaped(name) == NAME)
}

fn unescaped(mut name: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(name.len());
    while let [first, rest @ ..] = name {
        if let [b'%', high, low, after @ ..] = name
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push((high << 4) | low);
            name = after;
        } else {
            out.push(*first);
            name = rest;
        }
    }
    out
}

/// All records in order; nothing if one is malformed.
fn records(mut bytes: &[u8]) -> Option<Vec<Record<'_>>> {
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

    #[test]
    fn capabilities_are_known_by_every_name_that_a_tar_reads() {
        let cases: [(&[u8], bool); 9] = [
            (b"SCHILY.xattr.security.capability", true),
            (b"LIBARCHIVE.xattr.security.capability", true),
            (b"LIBARCHIVE.xattr.security%2Ecap%61bility", true),
            (b"LIBARCHIVE.xattr.%73ecurity.capability", true),
            (b"LIBARCHIVE.xattr.security.capability%2", false),
            (b"LIBARCHIVE.xattr.security%zzcapability", false),
            (b"SCHILY.xattr.security%2Ecapability", false),
            (b"SCHILY.xattr.security.selinux", false),
            (b"security.capability", false),
        ];
        for (key, expected) in cases {
            assert_eq!(is_capability(key), expected, "{}", String::from_utf8_lossy(key));
        }
    }
}
