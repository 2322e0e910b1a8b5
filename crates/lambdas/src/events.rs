//! What invokes `cleanup`: the cluster, the marker of a box whose time ran out, EC2's state changes, the schedule.
//!
//! Only what is needed is read from AWS's documents; what they name is checked against the stack.

use std::str::FromStr;

use drawbridge_protocol::{CleanupRequest, ClusterName, CreateRequest, ProtocolError, SessionId, json};
use serde::Deserialize;
use serde_json::Value;

use crate::names::InstanceId;

/// The largest event that AWS sends us; theirs have about 1 KiB.
const MAX_EVENT: usize = 64 << 10;
/// Records of one S3 event; S3 sends one.
const MAX_RECORDS: usize = 16;
const STATE_CHANGE: &str = "EC2 Instance State-change Notification";

/// An event that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the event is not one that this function takes: {0}")]
    Unknown(String),
    #[error("the event has {0} bytes, more than the {MAX_EVENT} allowed")]
    TooLarge(usize),
    #[error("the {kind} is not valid: {why}")]
    Invalid { kind: &'static str, why: String },
    #[error("this function serves only {0}")]
    Misdirected(&'static str),
}

/// A request that names its session but is not valid otherwise: it gets an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    pub session: SessionId,
    pub message: String,
}

/// What `cleanup` was invoked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanupEvent {
    Request(Box<CleanupRequest>),
    BadRequest(BadRequest),
    /// `ended` markers of these sessions were put, by any box of the cluster. None of those may be one.
    Ended(Vec<SessionId>),
    /// This machine ends or has ended.
    Gone(InstanceId),
    /// A machine changed to a state that ends nothing.
    Nothing,
    Sweep,
}

/// Which callers this copy of `cleanup` serves. The cluster may invoke the first of the three, and root of a box can
/// send the second as many markers as he likes; EC2's events and the schedule come to the third, so that neither flood
/// holds them up, and so that the cluster can send no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    Requests,
    Markers,
    Events,
}

impl FromStr for Serves {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "requests" => Ok(Self::Requests),
            "markers" => Ok(Self::Markers),
            "events" => Ok(Self::Events),
            other => Err(format!("'{other}' is none of them")),
        }
    }
}

impl Serves {
    /// The event, unless it is another copy's.
    pub fn admit(self, event: CleanupEvent) -> Result<CleanupEvent, EventError> {
        let whose = match &event {
            CleanupEvent::Request(_) | CleanupEvent::BadRequest(_) => Self::Requests,
            CleanupEvent::Ended(_) => Self::Markers,
            CleanupEvent::Gone(_) | CleanupEvent::Nothing | CleanupEvent::Sweep => Self::Events,
        };
        if self == whose { Ok(event) } else { Err(EventError::Misdirected(self.callers())) }
    }

    fn callers(self) -> &'static str {
        match self {
            Self::Requests => "requests of the cluster",
            Self::Markers => "markers of boxes",
            Self::Events => "events of EC2 and the schedule",
        }
    }
}

/// Reads a request to `create` as it came. Nothing is asked of AWS before it is read.
pub fn read_create(payload: &[u8]) -> Result<Result<CreateRequest, BadRequest>, EventError> {
    create_request(&value(payload)?)
}

/// Reads whatever invoked `cleanup`, as it came.
pub fn read_cleanup(payload: &[u8], cluster: &ClusterName, bucket: &str) -> Result<CleanupEvent, EventError> {
    cleanup_event(&value(payload)?, cluster, bucket)
}

fn value(payload: &[u8]) -> Result<Value, EventError> {
    if payload.len() > MAX_EVENT {
        return Err(EventError::TooLarge(payload.len()));
    }
    serde_json::from_slice(payload).map_err(|error| EventError::Unknown(error.to_string()))
}

/// Reads a request to `create`.
pub fn create_request(event: &Value) -> Result<Result<CreateRequest, BadRequest>, EventError> {
    request(event, "create request")
}

/// Reads whatever invoked `cleanup`.
pub fn cleanup_event(event: &Value, cluster: &ClusterName, bucket: &str) -> Result<CleanupEvent, EventError> {
    let size = event.to_string().len();
    if size > MAX_EVENT {
        return Err(EventError::TooLarge(size));
    }
    if event.get("Records").is_some() {
        ended_markers(event, cluster, bucket)
    } else if event.get("detail-type").is_some() {
        state_change(event)
    } else if event.get("sweep") == Some(&Value::Bool(true)) {
        Ok(CleanupEvent::Sweep)
    } else {
        Ok(match request(event, "cleanup request")? {
            Ok(request) => CleanupEvent::Request(Box::new(request)),
            Err(bad) => CleanupEvent::BadRequest(bad),
        })
    }
}

fn request<T: serde::de::DeserializeOwned>(
    event: &Value,
    kind: &'static str,
) -> Result<Result<T, BadRequest>, EventError> {
    let parsed: Result<T, ProtocolError> = json::parse(kind, event.to_string().as_bytes(), json::MAX_MESSAGE);
    parsed.map_or_else(
        |error| {
            let session = event.get("session").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let bad = session.map(|session| Err(BadRequest { session, message: error.to_string() }));
            bad.ok_or_else(|| EventError::Unknown(error.to_string()))
        },
        |request| Ok(Ok(request)),
    )
}

#[derive(Deserialize)]
struct S3Event {
    #[serde(rename = "Records")]
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
struct S3Record {
    s3: S3Entity,
}

#[derive(Deserialize)]
struct S3Entity {
    bucket: Named,
    object: Keyed,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Keyed {
    key: String,
}

/// S3's event of markers: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
/// Keys come URL-encoded, which changes nothing in a marker's key.
fn ended_markers(event: &Value, cluster: &ClusterName, bucket: &str) -> Result<CleanupEvent, EventError> {
    let invalid = |why: String| EventError::Invalid { kind: "S3 event", why };
    let event = S3Event::deserialize(event).map_err(|error| invalid(error.to_string()))?;
    if event.records.len() > MAX_RECORDS {
        return Err(invalid(format!("{} records, more than the {MAX_RECORDS} allowed", event.records.len())));
    }
    if let Some(other) = event.records.iter().find(|record| record.s3.bucket.name != bucket) {
        return Err(invalid(format!("it is of bucket '{}', not of '{bucket}'", other.s3.bucket.name)));
    }
    let prefix = format!("clusters/{cluster}/ended/");
    let session = |record: &S3Record| record.s3.object.key.strip_prefix(&prefix)?.parse().ok();
    Ok(CleanupEvent::Ended(event.records.iter().filter_map(session).collect()))
}

#[derive(Deserialize)]
struct StateChange {
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
    detail: StateChangeDetail,
}

#[derive(Deserialize)]
struct StateChangeDetail {
    #[serde(rename = "instance-id")]
    instance: String,
    state: String,
}

fn state_change(event: &Value) -> Result<CleanupEvent, EventError> {
    let invalid = |why: String| EventError::Invalid { kind: "EC2 event", why };
    let event = StateChange::deserialize(event).map_err(|error| invalid(error.to_string()))?;
    if event.source != "aws.ec2" || event.detail_type != STATE_CHANGE {
        return Err(EventError::Unknown(format!("'{}' of '{}'", event.detail_type, event.source)));
    }
    let id = event.detail.instance;
    if !id.starts_with("i-") || id.len() > 40 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(invalid(format!("'{id}' is not an instance's id")));
    }
    Ok(match event.detail.state.as_str() {
        "stopping" | "stopped" | "shutting-down" | "terminated" => CleanupEvent::Gone(InstanceId::new(id)),
        _ => CleanupEvent::Nothing,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const SESSION: &str = "0123456789abcdef0123456789abcdef";

    fn read(event: &Value) -> Result<CleanupEvent, EventError> {
        cleanup_event(event, &"demo".parse().unwrap(), "demo-backup")
    }

    fn marker(bucket: &str, key: &str) -> Value {
        let s3 = json!({"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": "x"}, "object": {"key": key, "size": 0}});
        json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})
    }

    fn change(state: &str, id: &str) -> Value {
        json!({"version": "0", "id": "x", "source": "aws.ec2", "detail-type": STATE_CHANGE,
               "detail": {"instance-id": id, "state": state}})
    }

    #[test]
    fn a_request_is_read() {
        let CleanupEvent::Request(request) = read(&json!({"version": 1, "session": SESSION})).unwrap() else {
            unreachable!()
        };
        assert_eq!(request.session.as_str(), SESSION);
    }

    #[test]
    fn a_bad_request_that_names_its_session_gets_an_answer() {
        for bad in [
            json!({"version": 2, "session": SESSION}),
            json!({"version": 1, "session": SESSION, "force": true}),
            json!({"version": 1, "session": SESSION, "sweep": "true"}),
        ] {
            assert!(matches!(read(&bad), Ok(CleanupEvent::BadRequest(_))), "{bad}");
        }
        let long = json!({"version": 1, "session": SESSION, "x": "x".repeat(20_000)});
        assert!(matches!(read(&long), Ok(CleanupEvent::BadRequest(bad)) if bad.message.contains("16384")));
    }

    #[test]
    fn what_names_no_session_is_an_error() {
        for bad in [
            json!({}),
            json!(null),
            json!([1]),
            json!({"version": 1, "session": "../x"}),
            json!({"sweep": 1}),
        ] {
            assert!(matches!(read(&bad), Err(EventError::Unknown(_))), "{bad}");
        }
        let huge = json!({"Records": ["x".repeat(MAX_EVENT)]});
        assert!(matches!(read(&huge), Err(EventError::TooLarge(_))));
    }

    #[test]
    fn a_marker_ends_its_session_and_only_under_the_cluster_s_prefix() {
        let ours = marker("demo-backup", &format!("clusters/demo/ended/{SESSION}"));
        assert_eq!(read(&ours).unwrap(), CleanupEvent::Ended(vec![SESSION.parse().unwrap()]));
        for key in ["clusters/demo/ended/x", "clusters/other/ended/0123456789abcdef0123456789abcdef", "x"] {
            let nobody_s = CleanupEvent::Ended(Vec::new());
            assert_eq!(read(&marker("demo-backup", key)).unwrap(), nobody_s, "{key}");
        }
        assert!(read(&marker("other", "clusters/demo/ended/x")).is_err());
        let record = &ours["Records"][0];
        assert!(read(&json!({"Records": vec![record; MAX_RECORDS + 1]})).is_err());
        assert!(read(&json!({"Records": "x"})).is_err());
    }

    #[test]
    fn a_machine_that_ends_is_gone_and_one_that_starts_is_nothing() {
        assert_eq!(read(&change("terminated", "i-0a")).unwrap(), CleanupEvent::Gone(InstanceId::new("i-0a")));
        assert_eq!(read(&change("running", "i-0a")).unwrap(), CleanupEvent::Nothing);
        assert!(read(&change("terminated", "i-0a b")).is_err());
        let mut other = change("terminated", "i-0a");
        other["source"] = json!("aws.rds");
        assert!(read(&other).is_err());
    }

    const CREATE: &str = r#"{"version":1,"session":"0123456789abcdef0123456789abcdef",
        "client_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8o",
        "job":{"namespace":"default","name":"nightly","uid":"0a","attempt":1}}"#;

    #[test]
    fn nothing_but_a_whole_request_to_create_is_read_as_one() {
        assert!(matches!(read_create(CREATE.as_bytes()), Ok(Ok(_))));
        for end in 0..CREATE.len() {
            assert!(!matches!(read_create(&CREATE.as_bytes()[..end]), Ok(Ok(_))), "cut off at {end}");
        }
        let with = |from: &str, to: &str| CREATE.replacen(from, to, 1).into_bytes();
        let spoilt = [
            with("{", r#"{"instance_type":"p5.48xlarge","#),
            with("{", r#"{"image":"ami-1","#),
            with("{", r#"{"clients":["0.0.0.0/0"],"#),
            with("{", r#"{"session_seconds":43200,"#),
            with("{", r#"{"prefix":"clusters/other/","#),
            with("version\":1", "version\":2"),
            with("version\":1", "version\":\"1\""),
            with("0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF"),
            with("0123456789abcdef0123456789abcdef", "../0123456789abcdef0123456789ab"),
            with("ssh-ed25519", "ssh-rsa"),
            with("\"default\"", "\"../default\""),
            with("\"default\"", "null"),
            with("\"attempt\":1", "\"attempt\":-1"),
            with("}}", "}}}"),
            with("}}", "}} {}"),
            with("nightly", &"x".repeat(20_000)),
            with("nightly", "night\u{0}ly"),
            [&CREATE.as_bytes()[..40], &[0xff, 0xfe], &CREATE.as_bytes()[40..]].concat(),
            format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
            vec![b' '; 6 << 20],
            b"null".to_vec(),
            Vec::new(),
        ];
        for payload in spoilt {
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
            assert!(!matches!(read_create(&payload), Ok(Ok(_))), "{shown}");
        }
    }

    #[test]
    fn each_copy_of_cleanup_serves_its_own_callers_alone() {
        let request =
            CleanupEvent::BadRequest(BadRequest { session: SESSION.parse().unwrap(), message: "x".into() });
        let gone = CleanupEvent::Gone(InstanceId::new("i-0a"));
        let of_a_session = read(&marker("demo-backup", &format!("clusters/demo/ended/{SESSION}"))).unwrap();
        let of_nobody = read(&marker("demo-backup", "clusters/demo/ended/x")).unwrap();
        let copies = [
            (Serves::Requests, "requests of the cluster", vec![request]),
            (Serves::Markers, "markers of boxes", vec![of_a_session, of_nobody]),
            (
                Serves::Events,
                "events of EC2 and the schedule",
                vec![CleanupEvent::Sweep, CleanupEvent::Nothing, gone],
            ),
        ];
        for (copy, callers, _) in &copies {
            for (other, _, events) in &copies {
                for event in events {
                    let misdirected = Err(EventError::Misdirected(callers));
                    let expected = if copy == other { Ok(event.clone()) } else { misdirected };
                    assert_eq!(copy.admit(event.clone()), expected);
                }
            }
        }
    }

    #[test]
    fn the_schedule_sweeps() {
        assert_eq!(read(&json!({"sweep": true})).unwrap(), CleanupEvent::Sweep);
    }
}
