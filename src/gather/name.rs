//! The file name of an artifact.

use drawbridge_protocol::{ArtifactName, ProtocolError, Sha256};

/// What files become.
pub(super) const FILES: &str = ".tar.zst";
/// What logs become.
pub(super) const LOGS: &str = ".log.zst";
/// The longest name that an [`ArtifactName`] takes.
const MAX_NAME: usize = 200;
/// Hex digits of the digest that stands for the rest of a name that was cut.
const DIGEST: usize = 12;

/// `<source>.<pod>.<container><suffix>`. Only a pod's name can hold dots, so two targets never share a name;
/// one that is too long is cut, and a digest of the whole keeps it apart from its like.
pub(super) fn artifact(
    source: &str,
    pod: &str,
    container: &str,
    suffix: &str,
) -> Result<ArtifactName, ProtocolError> {
    let whole = plain(&format!("{source}.{pod}.{container}"));
    let stem = if whole.len() + suffix.len() <= MAX_NAME {
        whole
    } else {
        let digest = Sha256::of(whole.as_bytes());
        let kept = MAX_NAME - suffix.len() - DIGEST - 1;
        let cut = whole[..kept].trim_end_matches('.');
        format!("{cut}-{}", &digest.as_str()[..DIGEST])
    };
    ArtifactName::try_from(format!("{stem}{suffix}"))
}

/// Kubernetes' names are plain already; what is not becomes a dash, so that an odd name is an odd artifact and
/// not a failed backup.
fn plain(text: &str) -> String {
    text.to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) { c } else { '-' })
        .collect::<String>()
        .replace("..", ".-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::{FILES, LOGS, artifact};

    #[test]
    fn a_name_says_source_pod_and_container() {
        assert_eq!(artifact("etc", "web-0", "nginx", FILES).unwrap().as_str(), "etc.web-0.nginx.tar.zst");
    }

    #[test]
    fn dots_in_a_pods_name_stay() {
        assert_eq!(artifact("etc", "a.b", "c", LOGS).unwrap().as_str(), "etc.a.b.c.log.zst");
    }

    #[test]
    fn odd_characters_become_dashes() {
        assert_eq!(artifact("Etc", "a/b", "c d", FILES).unwrap().as_str(), "etc.a-b.c-d.tar.zst");
        assert_eq!(artifact("etc", "a..b", "c", FILES).unwrap().as_str(), "etc.a.-b.c.tar.zst");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let pod = "p".repeat(253);
        let (one, two) =
            (artifact("etc", &pod, "one", FILES).unwrap(), artifact("etc", &pod, "two", FILES).unwrap());
        assert!(one.as_str().len() <= 200 && one != two, "{one} {two}");
    }
}
