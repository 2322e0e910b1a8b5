//! The boot script of a box: `boot.sh` with one session's values.

use std::time::Duration;

use drawbridge_protocol::Sha256;

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
        .replace("@ORDERS_URL@", boot.orders.0);
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
        render(&Boot { lifetime, program: (url, &digest), orders: (url, &digest) })
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
        let left = ["@MINUTES", "@PROGRAM", "@ORDERS"].iter().any(|mark| script.contains(mark));
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
