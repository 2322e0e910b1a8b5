//! Clocks that are off, and programs that are held: the shim of testbed/shim.c, put before libc in what is tested.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::bed::{Bed, output};

const NAMESPACE: &str = "drawbridge-system";

/// What a trap does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Kill,
    Hold,
}

/// The shim, compiled, with a directory by which it is told what to do.
pub(crate) struct Shim {
    pub(crate) dir: PathBuf,
}

impl Shim {
    /// Compiles it into a new directory of the bed that every user may write to.
    pub(crate) fn make(bed: &Bed, name: &str) -> Self {
        let dir = bed.dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(dir.join("shim.so"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/shim.c"));
        output(gcc).unwrap();
        let shim = Self { dir };
        shim.clock(0);
        shim
    }

    /// Sets the clock of everything that runs with it, at once.
    pub(crate) fn clock(&self, seconds: i64) {
        let path = self.dir.join("clock");
        // Written in place: the programs have the file mapped.
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_le_bytes(), 0).unwrap();
    }

    /// Lays a trap: the next log line with all of these words kills the program, or holds it.
    pub(crate) fn trap(&self, action: Action, words: &[&str]) {
        for name in ["sprung", "go"] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        let action = match action {
            Action::Kill => "kill",
            Action::Hold => "hold",
        };
        let text = format!("{action}\n{}\n", words.join("\n"));
        // A name that the shim does not look at, until the file is whole.
        fs::write(self.dir.join("trap.new"), text).unwrap();
        fs::set_permissions(self.dir.join("trap.new"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::rename(self.dir.join("trap.new"), self.dir.join("trap")).unwrap();
    }

    pub(crate) fn has_sprung(&self) -> bool {
        self.dir.join("sprung").exists()
    }

    /// Lets what is held go on.
    pub(crate) fn release(&self) {
        fs::write(self.dir.join("go"), "").unwrap();
    }
}

/// The controller with the shim before it; without it again when this goes out of scope.
pub(crate) struct Shimmed<'a> {
    bed: &'a Bed,
    pub(crate) shim: Shim,
}

impl<'a> Shimmed<'a> {
    pub(crate) fn controller(bed: &'a Bed) -> Self {
        Self::controller_with(bed, &[])
    }

    /// With these variables in its environment besides.
    pub(crate) fn controller_with(bed: &'a Bed, more: &[(&str, &str)]) -> Self {
        let shim = Shim::make(bed, "shim");
        // The operator's namespace takes no host paths; that is undone below.
        enforce(bed, "privileged");
        let dir = shim.dir.to_str().unwrap();
        let mut environment = vec![
            json!({"name": "LD_PRELOAD", "value": "/shim/shim.so"}),
            json!({"name": "DRAWBRIDGE_SHIM", "value": "/shim"}),
            json!({"name": "DRAWBRIDGE_LOG", "value": "info,drawbridge=debug"}),
        ];
        environment.extend(more.iter().map(|(name, value)| json!({"name": name, "value": value})));
        let patch = json!({"spec": {"template": {"spec": {
            "volumes": [{"name": "shim", "hostPath": {"path": dir, "type": "Directory"}}],
            "containers": [{"name": container(bed),
                "env": environment,
                "volumeMounts": [{"name": "shim", "mountPath": "/shim"}]}]}}}});
        let patch = patch.to_string();
        bed.kubectl(&[
            "patch",
            "deployment",
            "drawbridge",
            "-n",
            NAMESPACE,
            "--type=strategic",
            "-p",
            &patch,
        ])
        .unwrap();
        rolled_out(bed);
        Self { bed, shim }
    }

    /// The controller's pod, how often its container has been started again, and what the container waits for.
    pub(crate) fn pod(&self) -> Option<(String, u64, Option<String>)> {
        let selector = "app.kubernetes.io/name=drawbridge";
        let pods = self.bed.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"]).unwrap();
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pod = pods["items"].as_array().unwrap().iter().find(alive)?;
        let container = &pod["status"]["containerStatuses"][0];
        let waits = container["state"]["waiting"]["reason"].as_str().map(str::to_owned);
        Some((
            pod["metadata"]["name"].as_str()?.to_owned(),
            container["restartCount"].as_u64().unwrap_or(0),
            waits,
        ))
    }

    /// Has the pod give way to a new one at once.
    pub(crate) fn replace(&self, pod: &str) {
        self.bed.kubectl(&["delete", "pod", pod, "-n", NAMESPACE, "--force", "--grace-period=0"]).unwrap();
    }
}

impl Drop for Shimmed<'_> {
    fn drop(&mut self) {
        self.shim.clock(0);
        let bed = self.bed;
        bed.kubectl(&["rollout", "undo", "deployment/drawbridge", "-n", NAMESPACE]).unwrap();
        rolled_out(bed);
        enforce(bed, "restricted");
    }
}

fn container(bed: &Bed) -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].name}";
    bed.kubectl(&["get", "deployment", "drawbridge", "-n", NAMESPACE, "-o", path]).unwrap()
}

fn enforce(bed: &Bed, level: &str) {
    let label = format!("pod-security.kubernetes.io/enforce={level}");
    bed.kubectl(&["label", "--overwrite", "namespace", NAMESPACE, &label]).unwrap();
}

fn rolled_out(bed: &Bed) {
    bed.kubectl(&["rollout", "status", "deployment/drawbridge", "-n", NAMESPACE, "--timeout=120s"]).unwrap();
}

/// Machines that boot while this lives have a clock of their own.
pub(crate) struct BoxClock(PathBuf);

impl BoxClock {
    pub(crate) fn off_by(bed: &Bed, offset: Duration, ahead: bool) -> Self {
        let shim = Shim::make(bed, "aws/guest-shim");
        let seconds = i64::try_from(offset.as_secs()).unwrap();
        shim.clock(if ahead { seconds } else { -seconds });
        let file = shim.dir.parent().unwrap().join("guest-shim-on");
        fs::write(&file, "").unwrap();
        Self(file)
    }
}

impl Drop for BoxClock {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}
