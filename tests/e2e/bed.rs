//! The running test bed, as `cargo xtask test` hands it over.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const NAMESPACE: &str = "drawbridge-system";

pub(crate) struct Bed {
    dir: PathBuf,
    bin: PathBuf,
    venv: PathBuf,
    aws_cli: PathBuf,
    facts: Value,
}

/// What sessions left on the AWS side, as `testbed/aws/account.py leftovers` says it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Leftovers {
    pub(crate) instances: Vec<String>,
    interfaces: Vec<String>,
    security_groups: Vec<String>,
    slots: Vec<String>,
    state: Vec<String>,
    uploads: Vec<String>,
}

impl Leftovers {
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(crate) fn count(&self) -> usize {
        let all = [
            &self.instances,
            &self.interfaces,
            &self.security_groups,
            &self.slots,
            &self.state,
            &self.uploads,
        ];
        all.iter().map(|list| list.len()).sum()
    }
}

impl Bed {
    pub(crate) fn open() -> Self {
        let variable = |name: &str| {
            PathBuf::from(std::env::var_os(name).unwrap_or_else(|| {
                panic!("{name} is not set: these tests need the test bed that `cargo xtask test` brings up")
            }))
        };
        let dir = variable("DRAWBRIDGE_BED");
        let facts = serde_json::from_slice(&fs::read(dir.join("testbed.json")).unwrap()).unwrap();
        Self {
            bin: variable("DRAWBRIDGE_BIN"),
            venv: variable("DRAWBRIDGE_VENV"),
            aws_cli: variable("DRAWBRIDGE_AWS_CLI"),
            dir,
            facts,
        }
    }

    fn run(&self) -> &str {
        self.facts["run"].as_str().unwrap()
    }

    fn with_kubeconfig(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("KUBECONFIG", self.facts["kubernetes"]["kubeconfig"].as_str().unwrap());
        command.stdin(Stdio::null()).current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.with_kubectl(arguments))
    }

    fn with_kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.with_kubeconfig("kubectl");
        command.args(arguments);
        command
    }

    pub(crate) fn apply(&self, object: &Value) -> Result<String, String> {
        self.feed(&["apply", "-f", "-"], object)
    }

    /// Posts an object to a path of the API server.
    pub(crate) fn create_raw(&self, path: &str, object: &Value) -> Result<String, String> {
        self.feed(&["create", "--raw", path, "-f", "-"], object)
    }

    fn feed(&self, arguments: &[&str], object: &Value) -> Result<String, String> {
        let mut command = self.with_kubectl(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(object).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// An object, or `None` when there is none of that name.
    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let out = self
            .kubectl(&["get", kind, name, "--namespace", namespace, "--ignore-not-found", "-o", "json"])
            .unwrap();
        if out.trim().is_empty() { None } else { Some(serde_json::from_str(&out).unwrap()) }
    }

    /// Python with what the test bed's programs need.
    pub(crate) fn python(&self) -> Command {
        let mut python = Command::new(self.venv.join("bin/python"));
        python.current_dir(env!("CARGO_MANIFEST_DIR"));
        python
    }

    pub(crate) fn leftovers(&self) -> Leftovers {
        let mut python = self.python();
        python
            .args(["testbed/aws/account.py", "leftovers", "--run", self.run(), "--stack"])
            .arg(self.dir.join("stack.json"));
        serde_json::from_str(&output(python).unwrap()).unwrap()
    }

    pub(crate) fn wait_until_nothing_is_left(&self, limit: Duration) {
        let mut left = self.leftovers();
        let ended = wait(limit, || {
            left = self.leftovers();
            left.is_empty()
        });
        assert!(ended, "left after {} s: {left:?}", limit.as_secs());
    }

    /// The keys under the receipt's prefix, asked of S3 as the account's owner.
    pub(crate) fn objects(&self, receipt: &Value) -> Vec<String> {
        let manifest = receipt["manifest"].as_str().expect("the receipt names its manifest");
        assert_eq!(receipt["bucket"].as_str(), Some(&*self.output("BackupBucket")));
        self.keys_under(manifest.strip_suffix("manifest.json").unwrap())
    }

    /// The keys of the backup bucket under a prefix.
    pub(crate) fn keys_under(&self, prefix: &str) -> Vec<String> {
        self.keys_in(&self.output("BackupBucket"), prefix)
    }

    pub(crate) fn keys_in(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let text = self.aws(&["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix]);
        let listed: Value = serde_json::from_str(&text).unwrap_or_default();
        let contents = listed["Contents"].as_array().cloned().unwrap_or_default();
        contents.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
    }

    /// What the AWS CLI prints as JSON, run as the account's owner.
    pub(crate) fn aws(&self, arguments: &[&str]) -> String {
        let aws = &self.facts["aws"];
        let mut cli = Command::new(self.aws_cli.join("bin/aws"));
        cli.env("AWS_ENDPOINT_URL", aws["endpoint"].as_str().unwrap())
            .env("AWS_CA_BUNDLE", aws["ca_bundle"].as_str().unwrap())
            .env("AWS_DEFAULT_REGION", aws["region"].as_str().unwrap())
            .env("AWS_ACCESS_KEY_ID", aws["root"]["access_key_id"].as_str().unwrap())
            .env("AWS_SECRET_ACCESS_KEY", aws["root"]["secret_access_key"].as_str().unwrap())
            .args(arguments)
            .args(["--output", "json"]);
        output(cli).unwrap()
    }

    /// One of the stack's outputs.
    pub(crate) fn output(&self, name: &str) -> String {
        let stack: Value = serde_json::from_slice(&fs::read(self.dir.join("stack.json")).unwrap()).unwrap();
        stack["outputs"][name].as_str().unwrap_or_else(|| panic!("the stack has no output {name}")).to_owned()
    }

    /// What `testbed.json` says at a JSON pointer.
    pub(crate) fn fact(&self, pointer: &str) -> String {
        match self.facts.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("testbed.json has nothing at {pointer}"),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// `kill -9` of the controller's process, from outside its container.
    pub(crate) fn kill_controller(&self) {
        let selector = "app.kubernetes.io/name=drawbridge";
        let pods = self.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"]).unwrap();
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let mut killed = 0;
        for pod in pods["items"].as_array().unwrap() {
            let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
            let id = id.strip_prefix("containerd://").unwrap();
            let mut kill = self.ctr();
            kill.args(["tasks", "kill", "--signal", "SIGKILL", id]);
            output(kill).unwrap();
            killed += 1;
        }
        assert!(killed > 0, "no controller to kill");
    }

    fn ctr(&self) -> Command {
        self.words("/kubernetes/ctr_command")
    }

    /// The command whose first words stand in `testbed.json` at a JSON pointer.
    pub(crate) fn words(&self, pointer: &str) -> Command {
        let words = self.facts.pointer(pointer).and_then(Value::as_array).unwrap();
        let mut words = words.iter().map(|word| word.as_str().unwrap());
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
    }

    pub(crate) fn uninstall(&self) {
        let mut helm = self.with_kubeconfig("helm");
        helm.args(["uninstall", "drawbridge", "--namespace", NAMESPACE, "--wait", "--timeout", "180s"]);
        output(helm).unwrap();
    }

    pub(crate) fn install_again(&self) {
        let mut helm = self.with_kubeconfig("helm");
        helm.args([
            "upgrade",
            "--install",
            "drawbridge",
            "charts/drawbridge",
            "--namespace",
            NAMESPACE,
            "--wait",
        ])
        .args(["--timeout", "120s", "--values"])
        .arg(self.dir.join("values.json"));
        output(helm).unwrap();
    }
}

/// Whether `condition` came true within `limit`.
pub(crate) fn wait(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

pub(crate) fn output(mut command: Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
