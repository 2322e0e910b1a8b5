//! What a member's name, and a link's target, would do to whoever unpacks the archive.

use drawbridge_protocol::checks::{CheckId, CheckLimits};

use crate::{Findings, Path};

/// A name as a path: `.` and empty components are gone; none where it climbs out of the root.
pub(crate) fn normal(path: &[u8]) -> Option<Vec<u8>> {
    resolve(&[], path)
}

/// Where `target` leads from the directory of `from`; none where that is outside the root.
pub(crate) fn led_to(from: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let directory = from.iter().rposition(|&byte| byte == b'/').map_or(&[][..], |slash| &from[..slash]);
    resolve(directory, target)
}

/// Walks `path` from `directory`, by its letters alone: no link is followed.
fn resolve(directory: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut out = directory.to_vec();
    for component in components(path) {
        match component {
            b"." => {}
            b".." if out.is_empty() => return None,
            b".." => out.truncate(out.iter().rposition(|&byte| byte == b'/').unwrap_or(0)),
            component => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(component);
            }
        }
    }
    Some(out)
}

/// The directories above `path`, which is normal, from the root down; not `path` itself.
pub(crate) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// Whether a component of `path` is `..`.
pub(crate) fn climbs(path: &[u8]) -> bool {
    components(path).any(|component| component == b"..")
}

/// Looks at the letters of a name.
pub(crate) fn look(path: &[u8], limits: &CheckLimits, found: &mut Findings) {
    if path.first() == Some(&b'/') {
        found.note(CheckId::TarAbsolutePath, format_args!("'{}'", Path(path)));
    }
    if climbs(path) {
        found.note(CheckId::TarParentPath, format_args!("'{}'", Path(path)));
    }
    if let Some(what) = odd(path) {
        found.note(CheckId::TarOddName, format_args!("'{}' {what}", Path(path)));
    }
    let longest = components(path).map(<[u8]>::len).max().unwrap_or(0) as u64;
    if path.len() as u64 > limits.max_name {
        found.note(
            CheckId::TarNameLength,
            format_args!("{} bytes, more than {}: '{}'", path.len(), limits.max_name, Path(path)),
        );
    } else if longest > limits.max_component {
        found.note(
            CheckId::TarNameLength,
            format_args!(
                "a component of {longest} bytes, more than {}: '{}'",
                limits.max_component,
                Path(path)
            ),
        );
    }
}

/// What means nothing here and something to a terminal, or to an unpacker on Windows.
fn odd(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.contains(&0x1b) {
        return Some("holds a terminal's escape");
    }
    let windows = |path: &[u8]| path.split(|&byte| byte == b'\\' || byte == b'/').any(|part| part == b"..");
    if path.contains(&b'\\') && windows(path) {
        return Some("climbs with backslashes");
    }
    if let [drive, b':', b'\\' | b'/', ..] = path
        && drive.is_ascii_alphabetic()
    {
        return Some("begins with a drive");
    }
    path.starts_with(b"\\\\").then_some("begins with a network share")
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use drawbridge_protocol::checks::ChecksConfig;

    use super::*;

    fn checks(path: &[u8]) -> Vec<CheckId> {
        let config: ChecksConfig = "all=flag".parse().unwrap();
        let mut found = Findings::new(config.clone());
        look(path, &config.limits, &mut found);
        found.checks().collect()
    }

    #[test]
    fn names_that_would_be_unpacked_elsewhere_are_found() {
        use CheckId::{TarAbsolutePath, TarOddName, TarParentPath};
        let cases: [(&[u8], &[CheckId]); 14] = [
            (b"/etc/passwd", &[TarAbsolutePath]),
            (b"//etc/passwd", &[TarAbsolutePath]),
            (b"../x", &[TarParentPath]),
            (b"a/../../x", &[TarParentPath]),
            (b"a/..", &[TarParentPath]),
            (b"/../x", &[TarAbsolutePath, TarParentPath]),
            (b"..\\..\\x", &[TarOddName]),
            (b"a\\..\\..\\x", &[TarOddName]),
            (b"C:\\x", &[TarOddName]),
            (b"c:/x", &[TarOddName]),
            (b"\\\\host\\share", &[TarOddName]),
            (b"a\x1b[2J", &[TarOddName]),
            (b"", &[TarOddName]),
            (b"./..", &[TarParentPath]),
        ];
        for (path, expected) in cases {
            assert_eq!(checks(path), expected, "{}", Path(path));
        }
    }

    #[test]
    fn odd_names_that_harm_nobody_are_not() {
        let cases: [&[u8]; 8] = [
            b"etc/ssl/",
            b"./etc/x",
            b"a..b/..c/d..",
            b"...",
            b"new\nline \xff",
            b"etc/systemd/dev-disk-by\\x2duuid.device",
            b"time 12:/x",
            b"-rf",
        ];
        for path in cases {
            assert_eq!(checks(path), [], "{}", Path(path));
        }
    }

    #[test]
    fn names_longer_than_a_file_system_takes_are_found() {
        assert_eq!(checks(&[b'n'; 255]), []);
        assert_eq!(checks(&[b'n'; 256]), [CheckId::TarNameLength]);
        assert_eq!(checks(&b"n/".repeat(2_048)), []);
        assert_eq!(checks(&b"n/".repeat(2_049)), [CheckId::TarNameLength]);
    }

    #[test]
    fn links_are_followed_by_their_letters() {
        let led = |from: &str, target: &str| {
            led_to(from.as_bytes(), target.as_bytes()).map(|path| String::from_utf8(path).unwrap())
        };
        assert_eq!(led("etc/a/link", "../b"), Some("etc/b".to_owned()));
        assert_eq!(led("link", "b/./c//d"), Some("b/c/d".to_owned()));
        assert_eq!(led("etc/link", ".."), Some(String::new()));
        assert_eq!(led("etc/link", "../.."), None);
        assert_eq!(led("link", "../x"), None);
        assert_eq!(led("a/b/link", "../../../a/x"), None);
    }

    #[test]
    fn a_path_has_the_directories_above_it() {
        assert_eq!(parents(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
        assert_eq!(parents(b"a").count(), 0);
    }
}
