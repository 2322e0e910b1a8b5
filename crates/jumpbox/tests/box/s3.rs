//! One ministack for the whole test run. It dies with this process, however that ends.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region},
};

pub(crate) const BUCKET: &str = "backups";
pub(crate) const STATE: &str = "state";
/// Has Object Lock, and so keeps versions.
pub(crate) const LOCKED: &str = "locked-backups";
pub(crate) const REGION: &str = "us-east-1";

struct Server {
    endpoint: String,
    /// Kept, because the server ends when this child's stdin closes.
    _child: Mutex<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// Where it listens.
pub(crate) fn endpoint() -> &'static str {
    &SERVER.get_or_init(start).endpoint
}

pub(crate) fn credentials() -> Credentials {
    Credentials::new("000000000000", "test", None, None, "test")
}

/// A client of the test's own; connections belong to a test's runtime.
pub(crate) async fn client() -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(credentials())
        .endpoint_url(endpoint())
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let client = Client::from_conf(config.build());
    for bucket in [BUCKET, STATE] {
        // Made by whichever test comes first; the region's own owner may make a bucket again.
        client.create_bucket().bucket(bucket).send().await.expect("a bucket on the local S3");
    }
    let locked = client.create_bucket().bucket(LOCKED).object_lock_enabled_for_bucket(true);
    locked.send().await.expect("a locked bucket on the local S3");
    client
}

fn start() -> Server {
    let venv = std::env::var_os("DRAWBRIDGE_VENV").map_or_else(cached_venv, PathBuf::from);
    let program = venv.join("bin/ministack");
    assert!(
        program.exists(),
        "{} is missing: set DRAWBRIDGE_VENV to a venv with ministack",
        program.display()
    );
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let data = std::env::temp_dir().join(format!("drawbridge-box-{port}"));
    std::fs::create_dir_all(&data).unwrap();
    // The shell holds our pipe: when this process ends, read ends, and the server is told to go.
    let script = r#""$0" >"$1/log" 2>&1 & pid=$!; read -r _; kill $pid; wait $pid; rm -rf "$1""#;
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(&program)
        .arg(&data)
        .current_dir(&data)
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("S3_DATA_DIR", data.join("s3"))
        .env("STATE_DIR", data.join("state"))
        .env("IOT_MTLS_ENABLED", "0")
        .env("LOG_LEVEL", "WARNING")
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh");
    wait_for(port);
    Server { endpoint: format!("http://127.0.0.1:{port}"), _child: Mutex::new(child) }
}

fn cached_venv() -> PathBuf {
    let cache = std::env::var_os("DRAWBRIDGE_CACHE").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = cache.unwrap_or_else(|| home.join(".cache/drawbridge"));
    let venv = cache.join("venv");
    if venv.exists() { venv } else { cache.join("venv-staging") }
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the local S3 does not listen on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
