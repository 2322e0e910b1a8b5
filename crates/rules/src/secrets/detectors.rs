//! What is looked for: each detector's name, the literals that begin its secrets, and what must follow.

use super::shapes::{
    aws_access_key_id, aws_secret_key, encoded_private_key, json_web_token, kubeconfig_key, private_key,
    sendgrid, token,
};

/// Bytes from a literal's beginning on within which a secret is told from what merely begins like one.
pub(super) const WINDOW: usize = 640;

/// One kind of secret.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// As in `secret.private_key`.
    pub name: &'static str,
    pub what: &'static str,
}

/// Every detector.
pub const DETECTORS: &[Detector] = &[
    Detector { name: "private_key", what: "a private key block, not encrypted, or one in base64" },
    Detector { name: "aws_access_key_id", what: "the id of an AWS access key" },
    Detector { name: "aws_secret_key", what: "the secret half of an AWS access key beside its name" },
    Detector { name: "kubeconfig", what: "a kubeconfig's client key" },
    Detector { name: "jwt", what: "a signed JSON web token, as service accounts have" },
    Detector { name: "github_token", what: "a token of GitHub" },
    Detector { name: "gitlab_token", what: "a token of GitLab" },
    Detector { name: "slack_token", what: "a token of Slack" },
    Detector { name: "stripe_key", what: "a live secret key of Stripe" },
    Detector { name: "google_api_key", what: "an API key of Google" },
    Detector { name: "npm_token", what: "a token of npm" },
    Detector { name: "pypi_token", what: "a token of PyPI" },
    Detector { name: "sendgrid_key", what: "an API key of SendGrid" },
    Detector { name: "vault_token", what: "a service token of HashiCorp Vault" },
];

/// A literal that begins a secret.
pub(super) struct Anchor {
    pub(super) literal: &'static str,
    /// Its place in [`DETECTORS`].
    pub(super) detector: u8,
    /// Whether what begins with the literal is a secret, given the byte before it.
    pub(super) is_secret: fn(Option<u8>, &[u8]) -> bool,
}

const fn anchor(literal: &'static str, detector: u8, is_secret: fn(Option<u8>, &[u8]) -> bool) -> Anchor {
    Anchor { literal, detector, is_secret }
}

/// Every literal. Where one is another's beginning, the longer stands first.
pub(super) const ANCHORS: &[Anchor] = &[
    anchor("-----BEGIN ", 0, private_key),
    // "-----BEGIN" in base64, as in a Secret's data; what follows says which kind it is.
    anchor("LS0tLS1CRUdJTi", 0, encoded_private_key),
    anchor("AKIA", 1, aws_access_key_id),
    anchor("ASIA", 1, aws_access_key_id),
    anchor("aws_secret_access_key", 2, aws_secret_key),
    anchor("AWS_SECRET_ACCESS_KEY", 2, aws_secret_key),
    anchor("SecretAccessKey", 2, aws_secret_key),
    anchor("secretAccessKey", 2, aws_secret_key),
    anchor("secret_access_key", 2, aws_secret_key),
    anchor("client-key-data", 3, kubeconfig_key),
    anchor("eyJhbGciOi", 4, json_web_token),
    anchor("ghp_", 5, |before, rest| token(before, rest, 4, 36..=36)),
    anchor("gho_", 5, |before, rest| token(before, rest, 4, 36..=36)),
    anchor("ghu_", 5, |before, rest| token(before, rest, 4, 36..=36)),
    anchor("ghs_", 5, |before, rest| token(before, rest, 4, 36..=36)),
    anchor("ghr_", 5, |before, rest| token(before, rest, 4, 36..=76)),
    anchor("github_pat_", 5, |before, rest| token(before, rest, 11, 82..=82)),
    anchor("glpat-", 6, |before, rest| token(before, rest, 6, 20..=300)),
    anchor("glrt-", 6, |before, rest| token(before, rest, 5, 20..=300)),
    anchor("xoxb-", 7, |before, rest| token(before, rest, 5, 24..=200)),
    anchor("xoxp-", 7, |before, rest| token(before, rest, 5, 24..=200)),
    anchor("xoxs-", 7, |before, rest| token(before, rest, 5, 24..=200)),
    anchor("xapp-", 7, |before, rest| token(before, rest, 5, 24..=200)),
    anchor("sk_live_", 8, |before, rest| token(before, rest, 8, 24..=240)),
    anchor("rk_live_", 8, |before, rest| token(before, rest, 8, 24..=240)),
    anchor("AIza", 9, |before, rest| token(before, rest, 4, 35..=35)),
    anchor("npm_", 10, |before, rest| token(before, rest, 4, 36..=36)),
    anchor("pypi-AgEIcHlwaS5vcmc", 11, |before, rest| token(before, rest, 20, 50..=400)),
    anchor("SG.", 12, sendgrid),
    anchor("hvs.", 13, |before, rest| token(before, rest, 4, 90..=400)),
];
