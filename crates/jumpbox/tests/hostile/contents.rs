//! Artifacts that are made to harm the box, or whoever restores them.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use drawbridge_protocol::{
    Sha256,
    manifest::{Claimed, Verdict},
    upload::{BoxFrame, ClientFrame, Data, End},
};

use crate::{
    archives::{Member, Original, archive, compressed, header},
    raw::Raw,
    support::noise,
    target::{Target, checked},
};

/// As [`drawbridge_protocol::upload::MAX_DATA`].
const CHUNK: usize = 256 << 10;

/// Sends an artifact whose `End` tells the truth; what the box says of it.
async fn send(target: &Target, name: &str, stored: &[u8], original: Original) -> BoxFrame {
    let mut raw = Raw::greeted(&target.rig, target.seed).await;
    match raw.begin(name).await {
        Some(BoxFrame::Begun(_)) => {}
        other => panic!("{name}: {other:?}"),
    }
    let mut offset = 0;
    for chunk in stored.chunks(CHUNK) {
        let data = Data { offset, bytes: bytes::Bytes::copy_from_slice(chunk) };
        raw.send(ClientFrame::Data(data)).await;
        offset += chunk.len() as u64;
        if let Some(early) = raw.told_before(offset.saturating_sub(2 << 20)).await {
            return early;
        }
    }
    let claimed = Claimed {
        source: "s".to_owned(),
        namespace: "n".to_owned(),
        pod: "p".to_owned(),
        pod_uid: "u".to_owned(),
        container: "c".to_owned(),
        image: String::new(),
        paths: Vec::new(),
        original_bytes: original.bytes,
        original_sha256: original.sha256,
        log: None,
    };
    raw.send(ClientFrame::End(Box::new(End { bytes: offset, sha256: Sha256::of(stored), claimed }))).await;
    raw.receive().await.expect("an answer")
}

/// What became of it, as one word: the check that rejected it, `accepted`, or `flagged` and by what.
fn verdict(answer: BoxFrame) -> String {
    match answer {
        BoxFrame::Rejected(rejected) => rejected.check,
        BoxFrame::Accepted(accepted) if accepted.verdict == Verdict::Accepted => "accepted".to_owned(),
        BoxFrame::Accepted(accepted) => {
            let found: Vec<_> = accepted.findings.iter().map(|finding| finding.check.clone()).collect();
            format!("flagged: {}", found.join(", "))
        }
        other => panic!("a verdict was expected, got {other:?}"),
    }
}

fn zeros(gib: usize) -> (Vec<u8>, Original) {
    compressed(|out| (0..gib << 10).try_for_each(|_| out.write_all(&vec![0; 1 << 20])))
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_do_not_go_off() {
    let target = Target::start(50, checked()).await;
    let (bomb, original) = zeros(4);
    assert_eq!(verdict(send(&target, "zstd.log.zst", &bomb, original).await), "zstd_ratio");
    target.stays_small("a zstd bomb of 4 GiB", "rejected: zstd_ratio");

    // The same within an archive, whole headers and all.
    let (bomb, original) = compressed(|out| {
        out.write_all(&header(b"zeros", b'0', "", "0000644", 2 << 30))?;
        (0..2 << 10).try_for_each(|_| out.write_all(&vec![0; 1 << 20]))?;
        out.write_all(&[0; 1_024])
    });
    assert_eq!(verdict(send(&target, "zstd.tar.zst", &bomb, original).await), "zstd_ratio");

    let gzip = gzipped(256 << 20);
    let bare = send(&target, "gzip.log.zst", &gzip, Original { bytes: 0, sha256: Sha256::of(b"") }).await;
    assert_eq!(verdict(bare), "zstd_damaged");
    // Within an archive nobody unpacks it: it is a file like others.
    let nested = archive(&[Member::file("bomb.gz", &gzip), Member::file("bomb.zst", &bomb)]);
    let (stored, original) = compressed(|out| out.write_all(&nested));
    assert_eq!(verdict(send(&target, "nested.tar.zst", &stored, original).await), "accepted");
    target
        .holds(
            "a gzip bomb of 256 MiB, bare and in an archive beside a zstd bomb",
            "zstd_damaged; kept packed",
        )
        .await;
}

fn gzipped(bytes: usize) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        for _ in 0..bytes >> 20 {
            input.write_all(&vec![0; 1 << 20]).unwrap();
        }
    });
    let output = gzip.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_no_plain_zstd_frame_are_rejected() {
    let target = Target::start(51, checked()).await;
    let (frame, _) = compressed(|out| out.write_all(b"a line\n"));
    let wide = {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
        encoder.write_all(&noise(8 << 20)).unwrap();
        encoder.finish().unwrap()
    };
    // A frame that says that 2 TiB come out of it, in a window as large as zstd allows.
    let boast =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 0xff][..], &(2_u64 << 40).to_le_bytes(), &[1, 0, 0]].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &frame].concat();
    let cases = [
        ("noise", noise(100_000), "zstd_damaged"),
        ("wide", wide, "zstd_damaged"),
        ("boast", boast, "zstd_damaged"),
        ("skippable", skippable, "zstd_damaged"),
        ("twice", [&frame[..], &frame].concat(), "zstd_trailing"),
        ("cut", frame[..frame.len() - 3].to_vec(), "zstd_damaged"),
        ("lie", frame, "original_mismatch"),
    ];
    for (what, stored, check) in cases {
        let lie = Original { bytes: 7, sha256: Sha256::of(b"another") };
        assert_eq!(verdict(send(&target, &format!("{what}.log.zst"), &stored, lie).await), check, "{what}");
    }
    target
        .holds(
            "noise, a window of 128 MiB, skippable, second and cut frames, another original",
            "rejected by name",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_reach_out_of_their_directory_are_rejected() {
    let target = Target::start(52, checked()).await;
    let plain = Member::file;
    let link = |name, to| Member::of(name, b'2', to);
    let cases: Vec<(&str, Vec<Member<'_>>, &str)> = vec![
        ("absolute", vec![plain("/etc/cron.d/x", b"x")], "tar_absolute_path"),
        ("zip slip", vec![plain("../../etc/cron.d/x", b"x")], "tar_parent_path"),
        ("slip inside", vec![plain("a/../../b", b"x")], "tar_parent_path"),
        ("backslashes", vec![plain("..\\..\\b", b"x")], "flagged: tar_odd_name"),
        ("through a link", vec![link("d", "/etc"), plain("d/passwd", b"x")], "tar_through_link"),
        ("over a link", vec![link("d", "/etc/passwd"), plain("d", b"x")], "tar_through_link"),
        ("link leaves", vec![link("d/e", "../../../etc")], "flagged: tar_symlink_leaves"),
        ("hard link out", vec![Member::of("d", b'1', "/etc/shadow")], "tar_hardlink_leaves"),
        ("hard link up", vec![Member::of("d", b'1', "../../etc/shadow")], "tar_hardlink_leaves"),
        ("device", vec![Member::of("sda", b'4', "")], "tar_device"),
        ("console", vec![Member::of("tty", b'3', "")], "tar_device"),
        ("pipe", vec![Member::of("p", b'6', "")], "flagged: tar_fifo"),
        ("setuid", vec![Member { mode: "0004755", ..plain("su", b"x") }], "flagged: tar_setuid"),
        ("twice", vec![plain("a", b"1"), plain("a", b"2")], "flagged: tar_duplicate"),
        ("honest", vec![plain("a", b"1"), link("b", "a")], "accepted"),
    ];
    for (what, members, expected) in cases {
        let (stored, original) = compressed(|out| out.write_all(&archive(&members)));
        let name = format!("{}.tar.zst", what.replace(' ', "-"));
        assert_eq!(verdict(send(&target, &name, &stored, original).await), expected, "{what}");
    }
    target
        .holds(
            "zip-slip and absolute names, links that leave, devices, pipes, setuid, duplicates",
            "by name, as docs/checks.md says",
        )
        .await;
}

/// A million members, each with a name of its own, or each a link.
fn million(flag: u8) -> (Vec<u8>, Original) {
    compressed(|out| {
        // What a million names compress to is another matter: some noise keeps the ratio an honest one.
        let body = noise(512);
        for index in 0..1_000_000_u32 {
            let name = format!("d/{index:08x}");
            match flag {
                b'0' if index.is_multiple_of(8) => {
                    out.write_all(&header(name.as_bytes(), b'0', "", "0000644", 512))?;
                    let mut body = body.clone();
                    body[..4].copy_from_slice(&index.to_le_bytes());
                    for byte in &mut body {
                        *byte = byte.wrapping_mul(167).wrapping_add(index.to_le_bytes()[0]);
                    }
                    out.write_all(&body)?;
                }
                b'2' => out.write_all(&header(name.as_bytes(), b'2', &format!("{index:x}"), "0000777", 0))?,
                _ => out.write_all(&header(name.as_bytes(), b'0', "", "0000644", 0))?,
            }
        }
        out.write_all(&[0; 1_024])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_entries_are_counted_not_kept() {
    let target = Target::start(53, checked()).await;
    let mut said = Vec::new();
    for flag in [b'0', b'2'] {
        let (stored, original) = million(flag);
        let answer = verdict(send(&target, &format!("million-{flag}.tar.zst"), &stored, original).await);
        said.push(answer);
    }
    // More links than can be remembered are one too many; files are not.
    assert!(said[0] == "accepted" || said[0].starts_with("flagged"), "{said:?}");
    assert_eq!(said[1], "tar_through_link");
    let (stored, original) = compressed(|out| {
        let names = vec![b'n'; 8 << 20];
        out.write_all(&header(b"././@LongLink", b'L', "", "0000644", names.len() as u64))?;
        out.write_all(&names)
    });
    assert_eq!(verdict(send(&target, "names.tar.zst", &stored, original).await), "tar_header_size");
    target
        .holds(
            "archives of a million files, of a million links, a name of 8 MiB",
            &format!("{}; {}; tar_header_size", said[0], said[1]),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_costly_artifacts_at_once_take_no_more_memory_than_others() {
    let target = Target::start(54, checked()).await;
    // One line of 150 MiB, full of what rules and detectors look for; some of it does not compress.
    let (noise, content) =
        (noise(1 << 20), b"bitcoin .onion eval(base64_decode($_POST AKIA ghp_ eyJ ".repeat(5_461));
    let (stored, _) = compressed(|out| {
        for round in 0..512 {
            out.write_all(&noise[round * 2_048..][..2_048])?;
            out.write_all(&content)?;
        }
        Ok(())
    });
    let lie = || Original { bytes: 1, sha256: Sha256::of(b"") };
    let names: Vec<String> = (0..8).map(|index| format!("line-{index}.log.zst")).collect();
    let answers =
        futures::future::join_all(names.iter().map(|name| send(&target, name, &stored, lie()))).await;
    for answer in answers {
        assert_eq!(verdict(answer), "original_mismatch");
    }
    let attack = "8 artifacts at once of one line of 150 MiB, full of what rules look for";
    target.holds(attack, "looked at to their ends, then rejected for a false digest").await;
}
