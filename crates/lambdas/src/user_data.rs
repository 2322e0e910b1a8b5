//! The boot script of a box: `boot.sh` with one session's values.

use std::time::Duration;

use drawbridge_protocol::{ExtraCa, Sha256};

/// EC2 takes no more, before base64.
const MAX_USER_DATA: usize = 16 << 10;
const SCRIPT: &str = include_str!("boot.sh");

/// Why user data could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    #[error(
        "user data would have {0} bytes, more than the {MAX_USER_DATA} that EC2 takes: the presigned URLs are too long"
    )]
    TooLarge(usize),
    #[error("the presigned URL of the {what} holds '{found}', which the boot script cannot carry")]
    Url { what: &'static str, found: char },
}

/// What differs from box to box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot<'a> {
    /// How long the machine may run before it shuts itself down.
    pub lifetime: Duration,
    pub program: (&'a str, &'a Sha256),
    /// URL and digest.
    pub orders: (&'a str, &'a Sha256),
    /// Who vouches for S3 besides the system's CAs.
    pub extra_ca: Option<&'a ExtraCa>,
}

/// The script for one box.
pub fn render(boot: &Boot<'_>) -> Result<String, UserDataError> {
    for (what, (url, _)) in [("program", boot.program), ("orders", boot.orders)] {
        // The URL stands between quotes of the shell and then of curl's configuration.
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&()*+,;=%".contains(c);
        if let Some(found) = url.chars().find(|c| !harmless(*c)) {
            return Err(UserDataError::Url { what, found });
        }
    }
    let minutes = boot.lifetime.as_secs().div_ceil(60).max(1);
    let script = SCRIPT
        .replace("@MINUTES@", &minutes.to_string())
        .replace("@PROGRAM_SHA256@", boot.program.1.as_str())
        .replace("@ORDERS_SHA256@", boot.orders.1.as_str())
        .replace("@PROGRAM_URL@", boot.program.0)
        .replace("@ORDERS_URL@", boot.orders.0)
        .replace("@EXTRA_CA@", boot.extra_ca.map_or("", |ca| ca.as_pem().trim_end()));
    if script.len() > MAX_USER_DATA {
        return Err(UserDataError::TooLarge(script.len()));
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    fn rendered(url: &str, seconds: u64) -> Result<String, UserDataError> {
        let digest = Sha256::of(b"program");
        let lifetime = Duration::from_secs(seconds);
        render(&Boot { lifetime, program: (url, &digest), orders: (url, &digest), extra_ca: None })
    }

    fn presigned(token: usize) -> String {
        format!(
            "https://demo-state.s3.us-east-1.amazonaws.com/boot/x?X-Amz-Security-Token={}",
            "a%2F1".repeat(token / 5)
        )
    }

    #[test]
    fn the_first_thing_that_the_script_does_is_to_arm_the_shutdown() {
        let script = rendered("https://s3/x", 3601).unwrap();
        let first = script.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap();
        assert!(first.starts_with("shutdown -h +61 ||"), "{first}");
        assert!(script.starts_with("#!/bin/bash\n"));
    }

    #[test]
    fn bash_takes_the_script_and_no_placeholder_is_left() {
        let script = rendered(&presigned(1600), 60).unwrap();
        let left = ["@MINUTES", "@PROGRAM", "@ORDERS", "@EXTRA"].iter().any(|mark| script.contains(mark));
        assert!(!left, "{script}");
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success());
    }

    #[test]
    fn two_urls_with_the_longest_tokens_that_lambda_gives_fit() {
        assert!(rendered(&presigned(4096), 60).is_ok());
        assert!(matches!(rendered(&presigned(8192), 60), Err(UserDataError::TooLarge(_))));
    }

    #[test]
    fn the_largest_extra_ca_fits_beside_them() {
        let script = rendered(&presigned(4096), 60).unwrap();
        assert!(script.len() + ExtraCa::MAX_BYTES < MAX_USER_DATA, "{}", script.len());
    }

    /// What curl trusts by this script, as bash works it out; nothing when that is left to curl.
    fn trusted(script: &str) -> Option<String> {
        let part = |from: &str, to: &str| {
            let rest = &script[script.find(from).unwrap()..];
            rest[..rest.find(to).unwrap() + to.len()].to_owned()
        };
        let directory = tempfile::tempdir().unwrap();
        let run = format!(
            "orders={}/orders.json\n{}{}trust_extra_ca\nprintf %s \"${{CURL_CA_BUNDLE-}}\"",
            directory.path().display(),
            part("extra_ca=", "'\n"),
            part("trust_extra_ca() {", "\n}\n"),
        );
        let output = Command::new("bash").args(["-uc", &run]).env_remove("CURL_CA_BUNDLE").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bundle = String::from_utf8(output.stdout).unwrap();
        (!bundle.is_empty()).then(|| std::fs::read_to_string(bundle).unwrap())
    }

    #[test]
    fn an_extra_ca_is_trusted_by_the_downloads_and_only_when_it_is_given() {
        let ca: ExtraCa = include_str!("../../protocol/tests/certificates/ca.pem").parse().unwrap();
        let (lifetime, of) = (Duration::from_mins(1), ("https://s3/x", &Sha256::of(b"program")));
        let script = |extra_ca| render(&Boot { lifetime, program: of, orders: of, extra_ca }).unwrap();
        assert_eq!(trusted(&script(None)), None);
        assert!(trusted(&script(Some(&ca))).unwrap().ends_with(ca.as_pem()));
    }

    #[test]
    fn a_url_that_could_leave_its_quotes_is_refused() {
        for url in
            ["https://s3/'; reboot", "https://s3/\"", "https://s3/\nx", "https://s3/\\", "https://s3/`x`"]
        {
            assert!(matches!(rendered(url, 60), Err(UserDataError::Url { what: "program", .. })), "{url}");
        }
    }

    #[test]
    fn no_secret_stands_on_a_command_line() {
        for line in SCRIPT.lines().filter(|line| line.contains("curl ")) {
            let words = line.rsplit("curl ").next().unwrap();
            assert!(
                !words.contains("_url") && !words.contains("token: %s") && !words.contains("\"$2\""),
                "{line}"
            );
        }
    }
}
