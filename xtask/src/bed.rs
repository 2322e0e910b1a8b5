//! One test bed with everything installed: a real cluster, a local AWS with the stack deployed from the template that
//! users deploy, the controller installed with Helm.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    docs,
    package::{self, Package},
    shell::{command, output, say, step},
    tools::{self, Tools},
};

/// The namespace that the operator lives in.
pub(crate) const NAMESPACE: &str = "drawbridge-system";
/// The stack's cluster name in every test bed.
pub(crate) const CLUSTER: &str = "demo";

#[derive(Args)]
pub(crate) struct RunOptions {
    /// Names the run; two runs with different names stand side by side.
    #[arg(long, default_value = "dev")]
    pub(crate) run: String,
}

/// What is left of sessions on the AWS side.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) instances: Vec<String>,
    pub(crate) interfaces: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) slots: Vec<String>,
    pub(crate) state: Vec<String>,
    pub(crate) uploads: Vec<String>,
}

/// A running test bed.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) run: String,
    pub(crate) tools: Tools,
    pub(crate) package: Package,
    /// `testbed.json` of the run.
    pub(crate) facts: Value,
    /// The deployed stack: its outputs and the operator's access key.
    pub(crate) stack: Value,
    pub(crate) stack_file: PathBuf,
}

impl Bed {
    /// Boots the cluster and the local AWS, with no stack yet.
    pub(crate) fn boot(run: &str, tools: &Tools, package: &Package) -> Result<Self> {
        let mut up = testbed(tools);
        up.args(["up", "--run", run]);
        step("booting Kubernetes and the local AWS", &format!("testbed-{run}"), &mut up)?;
        let dir = PathBuf::from("/var/tmp/drawbridge").join(run);
        Ok(Self {
            run: run.to_owned(),
            tools: tools.clone(),
            package: package.clone(),
            facts: read_json(&dir.join("testbed.json"))?,
            stack: Value::Null,
            stack_file: dir.join("stack.json"),
        })
    }

    /// Boots the cluster and the local AWS, and deploys the stack.
    pub(crate) fn up(run: &str, tools: &Tools, package: &Package) -> Result<Self> {
        let mut bed = Self::boot(run, tools, package)?;
        let mut deploy = command(tools.python());
        deploy
            .env("DRAWBRIDGE_VENV", &tools.venv)
            .args(["testbed/aws/deploy.py", "up", "--run", run, "--code"])
            .args([&package.create_zip, &package.cleanup_zip, &package.posture_zip])
            .args(["--parameter", &format!("ClusterName={CLUSTER}"), "--out"])
            .arg(&bed.stack_file);
        step(
            "deploying infra/drawbridge.template.json to the local AWS",
            &format!("deploy-{run}"),
            &mut deploy,
        )?;
        bed.stack = read_json(&bed.stack_file)?;
        Ok(bed)
    }

    /// Removes a run, also what a killed one left.
    pub(crate) fn down(run: &str) -> Result<()> {
        let mut down = command("python3");
        down.args(["testbed/testbed.py", "down", "--run", run]);
        step(&format!("removing the test bed '{run}'"), &format!("down-{run}"), &mut down)
    }

    /// Installs the CRDs and the operator with Helm, as docs/install.md says.
    pub(crate) fn install(&self) -> Result<()> {
        self.load(&self.package.image)?;
        self.apply(&self.credentials()?)?;
        let mut crds = self.helm();
        crds.args([
            "upgrade",
            "--install",
            "drawbridge-crds",
            "charts/drawbridge-crds",
            "--namespace",
            NAMESPACE,
        ]);
        step("helm install drawbridge-crds", &format!("helm-crds-{}", self.run), &mut crds)?;
        let values = self.values()?;
        let mut chart = self.helm();
        chart
            .args([
                "upgrade",
                "--install",
                "drawbridge",
                "charts/drawbridge",
                "--namespace",
                NAMESPACE,
                "--wait",
            ])
            .args(["--timeout", "120s", "--values"])
            .arg(values);
        step("helm install drawbridge", &format!("helm-{}", self.run), &mut chart)
    }

    /// Makes an image known to the cluster's nodes.
    pub(crate) fn load(&self, image: &Path) -> Result<()> {
        let mut load = command(self.tools.python());
        load.arg(self.facts["kubernetes"]["program"].as_str().unwrap_or_default())
            .args(["load-image", "--run", &self.run])
            .arg(image)
            .env("DRAWBRIDGE_BIN", &self.tools.bin);
        step("loading the controller's image into the cluster", &format!("load-{}", self.run), &mut load)
    }

    /// The namespace, the CA of the run's AWS, and the operator's only credentials: an access key of the stack's operator
    /// user.
    pub(crate) fn credentials(&self) -> Result<Value> {
        let (key, ca) = (&self.stack["operator"], self.ca_bundle());
        let ca = fs::read_to_string(ca).with_context(|| format!("reading {ca}"))?;
        Ok(json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "drawbridge-aws", "namespace": NAMESPACE},
                "stringData": {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "local-aws-ca", "namespace": NAMESPACE},
                "data": {"ca.crt": ca}},
        ]}))
    }

    /// The file that the AWS endpoints' certificate is verified by.
    pub(crate) fn ca_bundle(&self) -> &str {
        self.facts["aws"]["ca_bundle"].as_str().unwrap_or_default()
    }

    /// Chart values of this run. Only what differs on a test bed from what docs/install.md sets.
    fn values(&self) -> Result<PathBuf> {
        let outputs = &self.stack["outputs"];
        let receipt_key = fs::read_to_string(self.pin_receipt_key()?).context("reading the receipt key")?;
        let values = json!({
            "aws": {"region": self.facts["aws"]["region"], "endpointUrl": self.facts["aws"]["api_endpoint"],
                "caConfigMap": "local-aws-ca", "credentialsSecret": "drawbridge-aws"},
            "vault": {"create": true, "name": "default", "functions": {"create": outputs["CreateFunctionArn"],
                "cleanup": outputs["CleanupFunctionArn"], "posture": outputs["PostureFunctionArn"]},
                "receiptKey": receipt_key},
        });
        let path = PathBuf::from("/var/tmp/drawbridge").join(&self.run).join("values.json");
        fs::write(&path, serde_json::to_vec_pretty(&values)?)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Where the public half of the stack's receipt key lies. It is fetched as docs/restore.md says.
    pub(crate) fn pin_receipt_key(&self) -> Result<PathBuf> {
        let path = PathBuf::from("/var/tmp/drawbridge").join(&self.run).join("receipt-key.pem");
        let arn = self.stack["outputs"]["ReceiptKeyArn"].as_str().context("the stack has no receipt key")?;
        let mut pin = docs::block("restore.md", "pin")?;
        self.as_engineer(&mut pin).env("RECEIPT_KEY_ARN", arn).env("RECEIPT_KEY", &path);
        output(&mut pin)?;
        Ok(path)
    }

    /// Lets `command` use the AWS command line with the credentials of the recovering engineer, which the cluster never has.
    pub(crate) fn as_engineer<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let facts = &self.facts["aws"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.tools.aws_cli.join("bin").display()))
            .env("AWS_ENDPOINT_URL", text(&facts["endpoint"]))
            .env("AWS_CA_BUNDLE", self.ca_bundle())
            .env("AWS_REGION", text(&facts["region"]))
            // What version 1 of the command line reads.
            .env("AWS_DEFAULT_REGION", text(&facts["region"]))
            .env("AWS_ACCESS_KEY_ID", text(&facts["root"]["access_key_id"]))
            .env("AWS_SECRET_ACCESS_KEY", text(&facts["root"]["secret_access_key"]))
    }

    pub(crate) fn kubeconfig(&self) -> &str {
        self.facts["kubernetes"]["kubeconfig"].as_str().unwrap_or_default()
    }

    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = command(self.tools.bin.join("kubectl"));
        kubectl.env("KUBECONFIG", self.kubeconfig());
        kubectl
    }

    pub(crate) fn helm(&self) -> Command {
        let mut helm = command(self.tools.bin.join("helm"));
        helm.env("KUBECONFIG", self.kubeconfig());
        helm
    }

    /// An object as JSON.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = output(self.kubectl().arg("get").args(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&text).context("parsing what kubectl printed")
    }

    /// `kubectl apply -f -`; secrets go this way, never on a command line.
    pub(crate) fn apply(&self, object: &Value) -> Result<()> {
        let mut child = self
            .kubectl()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        child.stdin.take().context("kubectl's standard input")?.write_all(&serde_json::to_vec(object)?)?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl apply failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Asks EC2 and S3 what sessions have left.
    pub(crate) fn leftovers(&self) -> Result<Leftovers> {
        serde_json::from_str(&self.account("leftovers", &[])?).context("parsing the leftovers")
    }

    /// The AWS actions that the deployed policies give the cluster's identity, as `action on resource` lines.
    pub(crate) fn operator_actions(&self) -> Result<Vec<String>> {
        serde_json::from_str(&self.account("operator-actions", &[])?)
            .context("parsing the operator's actions")
    }

    /// Seconds from the box's report that it listens to the end of its machine's `running`, from the AWS side's own log.
    pub(crate) fn exposure(&self, session: &str, instance: &str) -> Result<f64> {
        let text = self.account("exposure", &["--session", session, "--instance", instance])?;
        serde_json::from_str(&text).context("parsing the box's exposure")
    }

    fn account(&self, what: &str, more: &[&str]) -> Result<String> {
        let mut python = command(self.tools.python());
        python
            .args(["testbed/aws/account.py", what, "--run", &self.run, "--stack"])
            .arg(&self.stack_file)
            .args(more);
        output(&mut python)
    }
}

/// `cargo xtask up`: for people who want to look around or work on the parts.
pub(crate) fn up_for_people(options: &RunOptions) -> Result<()> {
    let tools = tools::ensure()?;
    let package = package::build(&tools)?;
    let bed = Bed::up(&options.run, &tools, &package)?;
    bed.install()?;
    say(&format!("up: export KUBECONFIG={} PATH={}:$PATH", bed.kubeconfig(), tools.bin.display()));
    say(&format!("remove it with: cargo xtask down --run {}", options.run));
    Ok(())
}

/// `testbed.py` with the environment that it needs.
fn testbed(tools: &Tools) -> Command {
    let mut python = command(tools.python());
    python.env("DRAWBRIDGE_BIN", &tools.bin).env("DRAWBRIDGE_VENV", &tools.venv).arg("testbed/testbed.py");
    if tools.kind {
        say(
            "a Docker daemon answers: the cluster is kind's, of kind-config.yaml (untried); DRAWBRIDGE_CLUSTER=own: ours",
        );
        python.env("DRAWBRIDGE_CLUSTER", "kind");
    }
    python
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", path.display()))
}
