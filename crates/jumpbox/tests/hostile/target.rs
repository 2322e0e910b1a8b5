//! The box's program as a process, and what must hold of it after an attack.

use std::{fs, io::Write as _, sync::Arc, time::Duration};

use drawbridge::transfer::ClientKey;
use drawbridge_jumpbox::Ending;
use drawbridge_protocol::{ReadyReport, checks::ChecksConfig};
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    metadata, s3,
    support::{self, Plan, Rig},
};

/// What a box's memory may come to, in KiB; its machine has 512 MiB.
const MEMORY: u64 = 96 << 10;
/// What a box has at rest at the least, in KiB: less would mean that something else was measured.
const AT_REST: u64 = 16 << 10;
/// How long after its deadline a box may be there.
pub(crate) const GRACE: Duration = Duration::from_mins(1);

/// A box under attack. Its client's key is the seed's, so that honest and hostile clients have the same one.
pub(crate) struct Target {
    pub(crate) rig: Rig,
    pub(crate) seed: u8,
    pid: u32,
    directory: TempDir,
}

/// A box with the checks that every stack has.
pub(crate) fn checked() -> Plan {
    Plan { checks: ChecksConfig::default(), ..Plan::default() }
}

/// A box that ends after so many seconds.
pub(crate) fn lives(seconds: i64) -> Plan {
    Plan { lives: SignedDuration::from_secs(seconds), ..checked() }
}

impl Target {
    /// Starts the program and waits until it has reported.
    pub(crate) async fn start(seed: u8, plan: Plan) -> Self {
        let s3 = s3::client().await;
        let key = ClientKey::from_seed(&[seed; 32]).unwrap();
        let orders = support::orders(&s3, &key, &plan).await;
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("orders.json"), serde_json::to_vec(&orders).unwrap()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_drawbridge-jumpbox"))
            .arg("--orders")
            .arg(directory.path().join("orders.json"))
            .args(["--interface", "lo", "--port", &port.to_string()])
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", metadata::serve().await))
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let report = reported(&s3, orders.session.as_str(), &mut child, &directory).await;
        let serving = tokio::spawn(async move {
            let status = child.wait().await.unwrap();
            assert!(status.success(), "the box ended with {status}");
            Ok(Ending::Deadline)
        });
        let address = ([127, 0, 0, 1], port).into();
        let rig = Rig { s3, orders, key, report, address, serving, progress: Arc::default() };
        Self { rig, seed, pid, directory }
    }

    /// The most memory that the box ever had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the box runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Open descriptors of the box.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the box runs").count()
    }

    /// What the box has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// What must hold while the box lives: an honest client gets an artifact through, and memory is bounded.
    pub(crate) async fn holds(&self, attack: &str, answer: &str) {
        self.serves(attack).await;
        self.stays_small(attack, answer);
    }

    async fn serves(&self, attack: &str) {
        let honest = async {
            // Places are free again as soon as the box has seen that their connections are gone.
            for attempt in 0.. {
                let name = format!("honest-{}-{attempt}.log.zst", attack_word(attack));
                match self.honest(&name).await {
                    Ok(()) => return,
                    Err(why) => {
                        eprintln!("{attack}: not yet: {why}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(45), honest).await.expect("an honest client's artifact");
    }

    /// One artifact by our own client.
    pub(crate) async fn honest(&self, name: &str) -> Result<(), String> {
        let connecting = drawbridge::transfer::Uploader::connect(
            self.rig.target(),
            self.rig.key.clone(),
            drawbridge::transfer::Patience::default(),
            Arc::default(),
        );
        let mut uploader = connecting.await.map_err(|error| error.to_string())?;
        let data = b"2026-01-01T00:00:00Z an honest line\n";
        let upload = uploader.upload(&support::artifact(name), support::claim(), support::source(data)).await;
        upload.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Holds the box's memory against its bound and writes the attack down.
    pub(crate) fn stays_small(&self, attack: &str, answer: &str) {
        let peak = self.peak();
        eprintln!("{attack}: {answer}; peak {} MiB", peak >> 10);
        assert!(peak > AT_REST, "{attack}: a peak of {peak} KiB is not a box's");
        assert!(peak < MEMORY, "{attack}: the box took {} MiB, of {} allowed", peak >> 10, MEMORY >> 10);
        write_down(attack, answer, Some(peak));
    }
}

/// One line of evidence.
pub(crate) fn write_down(attack: &str, answer: &str, peak: Option<u64>) {
    let Some(path) = std::env::var_os("DRAWBRIDGE_EVIDENCE") else { return };
    let line = serde_json::json!({"attack": attack, "answer": answer, "peak_kib": peak});
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    // One write a line: tests run beside each other.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn attack_word(attack: &str) -> String {
    attack.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

async fn reported(
    s3: &aws_sdk_s3::Client,
    session: &str,
    child: &mut Child,
    directory: &TempDir,
) -> ReadyReport {
    let key = format!("ready/{session}.json");
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        if let Ok(object) = s3.get_object().bucket(s3::STATE).key(&key).send().await {
            return serde_json::from_slice(&object.body.collect().await.unwrap().to_vec()).unwrap();
        }
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(directory.path().join("log")).unwrap();
            panic!("the box ended with {status} before it reported: {log}");
        }
        assert!(tokio::time::Instant::now() < deadline, "the box has not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
