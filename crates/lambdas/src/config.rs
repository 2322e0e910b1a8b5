//! The stack's configuration: environment variables that the template sets. Each error names the variable.

use std::{fmt, net::Ipv4Addr, num::NonZeroU16, ops::RangeInclusive, str::FromStr};

use drawbridge_protocol::{ClusterName, ExtraCa, checks::ChecksConfig, orders::RulesFile};
use jiff::SignedDuration;

use crate::events::Serves;

/// A variable that is not as the template should have set it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the variable {name} is not set: set it on the function to {expected}")]
    Missing { name: &'static str, expected: &'static str },
    #[error("the variable {name} is '{value}', expected {expected}: correct it on the function{why}")]
    Invalid { name: &'static str, value: String, expected: &'static str, why: String },
}

/// Where variables come from: the process, or a test's table.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What both Lambdas know of their stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    pub cluster: ClusterName,
    pub name: String,
    pub backup_bucket: String,
    pub state_bucket: String,
    /// How long past its deadline a session may be before others end it.
    pub grace: SignedDuration,
}

/// Which callers this copy of `cleanup` serves, as the template says.
pub fn serves(env: Lookup<'_>) -> Result<Serves, ConfigError> {
    parse(env, "DRAWBRIDGE_SERVES", "'requests', 'markers' or 'events'")
}

impl Stack {
    pub fn read(env: Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            cluster: parse(env, "DRAWBRIDGE_CLUSTER", "a DNS label")?,
            name: text(env, "DRAWBRIDGE_STACK", "the name of the stack")?,
            backup_bucket: text(env, "DRAWBRIDGE_BACKUP_BUCKET", "the name of the backup bucket")?,
            state_bucket: text(env, "DRAWBRIDGE_STATE_BUCKET", "the name of the state bucket")?,
            grace: seconds(
                env,
                "DRAWBRIDGE_GRACE_SECONDS",
                "a number of seconds from 0 to 86400",
                &(0..=86_400),
            )?,
        })
    }
}

/// What `create` knows besides: the shape of every box. A request cannot change any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateConfig {
    pub stack: Stack,
    pub region: String,
    /// Another S3 than AWS's; the box is told of it.
    pub s3_endpoint: Option<String>,
    /// Whom the box trusts besides its system's CAs.
    pub extra_ca: Option<ExtraCa>,
    pub vpc: String,
    pub public_subnet: String,
    pub private_subnet: String,
    pub private_group: String,
    pub instance_profile: String,
    pub image: String,
    /// In the order in which they are tried when EC2 lacks capacity.
    pub instance_types: Vec<String>,
    /// The networks from which SSH may come.
    pub clients: Vec<Cidr>,
    /// Boxes at a time; 0 stops the stack.
    pub max_boxes: u32,
    /// Sessions that may be opened on one UTC day.
    pub max_sessions_per_day: u32,
    pub session: SignedDuration,
    pub max_session_bytes: u64,
    /// What every box checks.
    pub checks: ChecksConfig,
    /// The ARN of the key that certifies session keys; without one, nothing is certified.
    pub receipt_key: Option<String>,
    /// The stack's own YARA rules; they lie beside the program, not in a variable.
    pub rules: Vec<RulesFile>,
    /// Days for which nobody can delete a backup, where the bucket has a lock.
    pub lock_days: Option<NonZeroU16>,
}

impl CreateConfig {
    pub fn read(env: Lookup<'_>) -> Result<Self, ConfigError> {
        let bytes = "a number of bytes above 0";
        let config = Self {
            stack: Stack::read(env)?,
            region: text(env, "AWS_REGION", "the stack's region")?,
            s3_endpoint: env("AWS_ENDPOINT_URL_S3").filter(|url| !url.is_empty()),
            extra_ca: extra_ca(env)?,
            vpc: text(env, "DRAWBRIDGE_VPC_ID", "the id of the VPC")?,
            public_subnet: text(env, "DRAWBRIDGE_PUBLIC_SUBNET_ID", "the id of the public subnet")?,
            private_subnet: text(env, "DRAWBRIDGE_PRIVATE_SUBNET_ID", "the id of the private subnet")?,
            private_group: text(env, "DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID", "the id of the private group")?,
            instance_profile: text(env, "DRAWBRIDGE_INSTANCE_PROFILE_ARN", "the ARN of the box's profile")?,
            image: text(env, "DRAWBRIDGE_IMAGE_ID", "the id of the box's image")?,
            instance_types: list(env, "DRAWBRIDGE_INSTANCE_TYPES", "1 to 8 instance types, by commas", 8)?,
            clients: list(env, "DRAWBRIDGE_CLIENT_CIDRS", "1 to 50 IPv4 networks a.b.c.d/n, by commas", 50)?,
            max_boxes: number(env, "DRAWBRIDGE_MAX_BOXES", "a number from 0 to 100", &(0..=100))?,
            max_sessions_per_day: number(
                env,
                "DRAWBRIDGE_MAX_SESSIONS_PER_DAY",
                "a number from 1 to 100000",
                &(1..=100_000),
            )?,
            session: seconds(
                env,
                "DRAWBRIDGE_SESSION_SECONDS",
                "a number of seconds from 120 to 43200",
                &(120..=43_200),
            )?,
            max_session_bytes: number(env, "DRAWBRIDGE_MAX_SESSION_BYTES", bytes, &(1..=u64::MAX))?,
            checks: checks(env)?,
            receipt_key: env("DRAWBRIDGE_RECEIPT_KEY_ARN").filter(|arn| !arn.is_empty()),
            rules: Vec::new(),
            lock_days: NonZeroU16::new(number(
                env,
                "DRAWBRIDGE_OBJECT_LOCK_DAYS",
                "a number of days from 0, for no lock, to 3650",
                &(0..=3650),
            )?),
        };
        Ok(config)
    }
}

/// Whom both functions trust to vouch for AWS, besides the system's CAs.
pub fn extra_ca(env: Lookup<'_>) -> Result<Option<ExtraCa>, ConfigError> {
    let (name, expected) = ("DRAWBRIDGE_EXTRA_CA", "CA certificates as PEM, at most 2048 bytes");
    let Some(value) = env(name).filter(|value| !value.trim().is_empty()) else { return Ok(None) };
    let first = value.lines().next().unwrap_or_default();
    value.parse().map(Some).map_err(|error| invalid(name, first, expected, &error))
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: Ipv4Addr,
    bits: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').ok_or("no '/'")?;
        let address: Ipv4Addr = address.parse().map_err(|_| "no IPv4 address".to_owned())?;
        let bits: u8 = bits.parse().map_err(|_| "no prefix length".to_owned())?;
        let host_mask = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        if bits > 32 {
            Err("the prefix is longer than 32 bits".to_owned())
        } else if address.to_bits() & host_mask != 0 {
            Err("host bits are set".to_owned())
        } else {
            Ok(Self { address, bits })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Absent or empty: the checks' own defaults.
fn checks(env: Lookup<'_>) -> Result<ChecksConfig, ConfigError> {
    const NAME: &str = "DRAWBRIDGE_CHECKS";
    let value = env(NAME).unwrap_or_default();
    let expected = "check=effect and limit=number, by commas, as docs/checks.md lists them";
    value.parse().map_err(|error| invalid(NAME, &value, expected, &error))
}

fn text(env: Lookup<'_>, name: &'static str, expected: &'static str) -> Result<String, ConfigError> {
    env(name).filter(|value| !value.is_empty()).ok_or(ConfigError::Missing { name, expected })
}

fn parse<T: FromStr<Err: fmt::Display>>(
    env: Lookup<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    let value = text(env, name, expected)?;
    value.parse().map_err(|error| invalid(name, &value, expected, &error))
}

fn number<T: FromStr<Err: fmt::Display> + PartialOrd>(
    env: Lookup<'_>,
    name: &'static str,
    expected: &'static str,
    allowed: &RangeInclusive<T>,
) -> Result<T, ConfigError> {
    let value: T = parse(env, name, expected)?;
    if !allowed.contains(&value) {
        return Err(invalid(name, &text(env, name, expected)?, expected, &"out of range"));
    }
    Ok(value)
}

fn seconds(
    env: Lookup<'_>,
    name: &'static str,
    expected: &'static str,
    allowed: &RangeInclusive<i64>,
) -> Result<SignedDuration, ConfigError> {
    number(env, name, expected, allowed).map(SignedDuration::from_secs)
}

fn list<T: FromStr<Err: fmt::Display>>(
    env: Lookup<'_>,
    name: &'static str,
    expected: &'static str,
    max: usize,
) -> Result<Vec<T>, ConfigError> {
    let value = text(env, name, expected)?;
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    if parts.len() > max || parts.iter().any(|part| part.is_empty()) {
        return Err(invalid(name, &value, expected, &"an empty or too long list"));
    }
    let parsed =
        parts.into_iter().map(|part| part.parse().map_err(|error| invalid(name, &value, expected, &error)));
    parsed.collect()
}

fn invalid(name: &'static str, value: &str, expected: &'static str, why: &dyn fmt::Display) -> ConfigError {
    ConfigError::Invalid { name, value: value.to_owned(), expected, why: format!(" ({why})") }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CA: &str = include_str!("../../protocol/tests/certificates/ca.pem");
    const SERVER: &str = include_str!("../../protocol/tests/certificates/server.pem");

    pub(crate) fn environment(name: &str) -> Option<String> {
        let value = match name {
            "AWS_REGION" => "us-east-1",
            "AWS_ENDPOINT_URL_S3" => "https://198.51.100.3",
            "DRAWBRIDGE_CLUSTER" => "demo",
            "DRAWBRIDGE_STACK" => "drawbridge-demo",
            "DRAWBRIDGE_BACKUP_BUCKET" => "demo-backup",
            "DRAWBRIDGE_STATE_BUCKET" => "demo-state",
            "DRAWBRIDGE_GRACE_SECONDS" => "600",
            "DRAWBRIDGE_VPC_ID" => "vpc-1",
            "DRAWBRIDGE_PUBLIC_SUBNET_ID" => "subnet-public",
            "DRAWBRIDGE_PRIVATE_SUBNET_ID" => "subnet-private",
            "DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID" => "sg-private",
            "DRAWBRIDGE_INSTANCE_PROFILE_ARN" => "arn:aws:iam::000000000000:instance-profile/box",
            "DRAWBRIDGE_IMAGE_ID" => "ami-1",
            "DRAWBRIDGE_INSTANCE_TYPES" => "t3.small,t3a.small",
            "DRAWBRIDGE_CLIENT_CIDRS" => "203.0.113.10/32,192.0.2.0/24",
            "DRAWBRIDGE_MAX_BOXES" => "2",
            "DRAWBRIDGE_MAX_SESSIONS_PER_DAY" => "100",
            "DRAWBRIDGE_SESSION_SECONDS" => "3600",
            "DRAWBRIDGE_MAX_SESSION_BYTES" => "53687091200",
            "DRAWBRIDGE_OBJECT_LOCK_DAYS" => "0",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn the_template_s_variables_are_read() {
        let config = CreateConfig::read(&environment).unwrap();
        assert_eq!(config.instance_types, ["t3.small", "t3a.small"]);
        assert_eq!(config.clients[1].to_string(), "192.0.2.0/24");
        assert_eq!(config.session, SignedDuration::from_hours(1));
        assert_eq!(config.lock_days, None);
    }

    #[test]
    fn a_lock_s_days_are_read() {
        let locked = |asked: &str| {
            if asked == "DRAWBRIDGE_OBJECT_LOCK_DAYS" { Some("30".to_owned()) } else { environment(asked) }
        };
        assert_eq!(CreateConfig::read(&locked).unwrap().lock_days, NonZeroU16::new(30));
    }

    #[test]
    fn an_extra_ca_is_none_unless_it_is_given() {
        let with = |value: &'static str| {
            move |asked: &str| {
                if asked == "DRAWBRIDGE_EXTRA_CA" { Some(value.to_owned()) } else { environment(asked) }
            }
        };
        assert_eq!(CreateConfig::read(&environment).unwrap().extra_ca, None);
        assert_eq!(CreateConfig::read(&with("")).unwrap().extra_ca, None);
        let given = CreateConfig::read(&with(CA)).unwrap().extra_ca.unwrap();
        assert_eq!(given.as_pem(), CA);
    }

    #[test]
    fn checks_are_the_stack_s_or_the_defaults() {
        use drawbridge_protocol::checks::{CheckId, Effect};
        let effect = |text: Option<&str>| {
            let text = text.map(str::to_owned);
            let with =
                |asked: &str| if asked == "DRAWBRIDGE_CHECKS" { text.clone() } else { environment(asked) };
            CreateConfig::read(&with).unwrap().checks.effect(CheckId::TarSetuid)
        };
        assert_eq!((effect(None), effect(Some(""))), (Effect::Flag, Effect::Flag));
        assert_eq!(effect(Some("tar_setuid=reject, max_entries=10")), Effect::Reject);
    }

    #[test]
    fn a_copy_of_cleanup_is_told_whom_it_serves() {
        for (value, expected) in [
            ("requests", Some(Serves::Requests)),
            ("markers", Some(Serves::Markers)),
            ("events", Some(Serves::Events)),
            ("all", None),
        ] {
            assert_eq!(serves(&|_| Some(value.to_owned())).ok(), expected, "{value}");
        }
        assert!(serves(&|_| None).unwrap_err().to_string().contains("DRAWBRIDGE_SERVES"));
    }

    #[test]
    fn each_missing_variable_is_named() {
        let names = [
            "AWS_REGION",
            "DRAWBRIDGE_CLUSTER",
            "DRAWBRIDGE_STACK",
            "DRAWBRIDGE_BACKUP_BUCKET",
            "DRAWBRIDGE_STATE_BUCKET",
            "DRAWBRIDGE_GRACE_SECONDS",
            "DRAWBRIDGE_VPC_ID",
            "DRAWBRIDGE_PUBLIC_SUBNET_ID",
            "DRAWBRIDGE_PRIVATE_SUBNET_ID",
            "DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID",
            "DRAWBRIDGE_INSTANCE_PROFILE_ARN",
            "DRAWBRIDGE_IMAGE_ID",
            "DRAWBRIDGE_INSTANCE_TYPES",
            "DRAWBRIDGE_CLIENT_CIDRS",
            "DRAWBRIDGE_MAX_BOXES",
            "DRAWBRIDGE_MAX_SESSIONS_PER_DAY",
            "DRAWBRIDGE_SESSION_SECONDS",
            "DRAWBRIDGE_MAX_SESSION_BYTES",
            "DRAWBRIDGE_OBJECT_LOCK_DAYS",
        ];
        for name in names {
            let without = |asked: &str| if asked == name { None } else { environment(asked) };
            let error = CreateConfig::read(&without).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn each_wrong_value_is_named_with_what_was_expected() {
        let large = "x".repeat(2049);
        let cases = [
            ("DRAWBRIDGE_CLUSTER", "Demo!", "DNS label"),
            ("DRAWBRIDGE_CLIENT_CIDRS", "10.0.0.0", "no '/'"),
            ("DRAWBRIDGE_CLIENT_CIDRS", "10.0.0.1/24", "host bits"),
            ("DRAWBRIDGE_CLIENT_CIDRS", "10.0.0.0/33", "longer than 32"),
            ("DRAWBRIDGE_CLIENT_CIDRS", "10.0.0.0/24,", "empty"),
            ("DRAWBRIDGE_MAX_BOXES", "101", "0 to 100"),
            ("DRAWBRIDGE_MAX_BOXES", "-1", "0 to 100"),
            ("DRAWBRIDGE_MAX_SESSIONS_PER_DAY", "0", "1 to 100000"),
            ("DRAWBRIDGE_SESSION_SECONDS", "60", "120 to 43200"),
            ("DRAWBRIDGE_MAX_SESSION_BYTES", "0", "above 0"),
            ("DRAWBRIDGE_OBJECT_LOCK_DAYS", "3651", "to 3650"),
            ("DRAWBRIDGE_INSTANCE_TYPES", "a,b,c,d,e,f,g,h,i", "1 to 8"),
            ("DRAWBRIDGE_EXTRA_CA", SERVER, "no CA"),
            ("DRAWBRIDGE_EXTRA_CA", &large, "2048 allowed"),
            ("DRAWBRIDGE_CHECKS", "tar_setiud=off", "no check 'tar_setiud'"),
            ("DRAWBRIDGE_CHECKS", "tar_setuid=maybe", "off, flag or reject"),
            ("DRAWBRIDGE_CHECKS", "max_ratio=1", "at least 2"),
        ];
        for (name, value, said) in cases {
            let with = |asked: &str| if asked == name { Some(value.to_owned()) } else { environment(asked) };
            let error = CreateConfig::read(&with).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(said), "{error}");
        }
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().to_string(), "0.0.0.0/0");
    }
}
