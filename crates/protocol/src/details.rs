//! What a check looks for one by one: a YARA rule, a secret detector, a file type. Each has an effect of its own, which a
//! stack names as `check.detail`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    ProtocolError,
    checks::{CheckId, ChecksConfig, Effect},
};

/// The longest name; YARA's identifiers have no more.
const MAX_NAME: usize = 128;

/// One of the things that a check looks for: `yara.eicar_test_file`, `secret.private_key`, `file_type.executable`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Detail {
    check: CheckId,
    name: String,
}

impl Detail {
    /// `name` is an identifier as YARA has them.
    pub fn new(check: CheckId, name: &str) -> Result<Self, ProtocolError> {
        let invalid = |why: String| Err(ProtocolError::invalid("checks", why));
        if !matches!(check, CheckId::Yara | CheckId::Secret | CheckId::FileType) {
            return invalid(format!("check '{check}' has no details; name it alone"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return invalid(format!(
                "'{check}.{name}' must end in 1 to {MAX_NAME} letters, digits or underscores"
            ));
        }
        Ok(Self { check, name: name.to_owned() })
    }

    pub fn check(&self) -> CheckId {
        self.check
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.check, self.name)
    }
}

impl FromStr for Detail {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let Some((check, name)) = text.split_once('.') else {
            return Err(ProtocolError::invalid("checks", format!("'{text}' must read check.detail")));
        };
        Self::new(check.parse()?, name)
    }
}

impl TryFrom<String> for Detail {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        text.parse()
    }
}

impl From<Detail> for String {
    fn from(detail: Detail) -> Self {
        detail.to_string()
    }
}

impl ChecksConfig {
    /// What follows when `detail` is found: as the stack says of it, or else of its check, or else `usual`.
    pub fn effect_of(&self, detail: &Detail, usual: Effect) -> Effect {
        let of_check = || self.effects.get(&detail.check).copied();
        self.details.get(detail).copied().or_else(of_check).unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn effect(config: &str, detail: &str, usual: Effect) -> Effect {
        config.parse::<ChecksConfig>().unwrap().effect_of(&detail.parse().unwrap(), usual)
    }

    #[test]
    fn a_detail_s_own_effect_counts_before_its_check_s_and_that_before_the_usual_one() {
        assert_eq!(effect("", "yara.eicar", Effect::Reject), Effect::Reject);
        assert_eq!(effect("yara=off", "yara.eicar", Effect::Reject), Effect::Off);
        assert_eq!(effect("yara=off,yara.eicar=flag", "yara.eicar", Effect::Reject), Effect::Flag);
        assert_eq!(effect("yara=off,yara.eicar=flag", "yara.other", Effect::Reject), Effect::Off);
        assert_eq!(effect("yara.eicar=flag,all=off", "yara.eicar", Effect::Reject), Effect::Off);
    }

    #[test]
    fn a_detail_of_a_check_that_has_none_or_of_an_odd_name_is_refused() {
        for text in ["tar_device.x=off", "nonsense.x=off", "yara.=off", "yara.a-b=off", "yara.x=5"] {
            assert!(text.parse::<ChecksConfig>().is_err(), "{text}");
        }
        assert!("yara.A_1=off".parse::<ChecksConfig>().is_ok());
    }
}
