//! What a fresh Debian 12 lacks: packages, the cluster's programs, the local AWS, cargo-deny. Each is installed or
//! built once and kept by the digest of what it is made from, so that a second run finds it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{
    paths,
    shell::{command, output, say, step, succeeds},
};

/// Debian's packages that the test bed runs on.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "g++",
    "gcc",
    "iproute2",
    "iptables",
    "jq",
    "libc6-dev",
    "nftables",
    "openssh-client",
    "openssl",
    "procps",
    "python3-venv",
    "runc",
    "util-linux",
    "zstd",
];
/// Python's packages of the local AWS, the linter of the templates, and a reader of Terraform's form.
const PYTHON: &[&str] = &[
    "ministack==1.5.33",
    "moto[server]==5.2.5",
    "boto3==1.43.106",
    "cfn-lint==1.58.0",
    "cryptography==50.0.2",
    "PyYAML==6.0.3",
    "python-hcl2==8.1.4",
];
/// The command line that an engineer restores with; apart, since it pins its own botocore.
const AWS_CLI: &[&str] = &["awscli==1.46.2"];
const CARGO_DENY: &str = "0.20.2";
const KUBERNETES: &str = "1.34.4";

/// Where the built tools are.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// kube-apiserver, kubelet, kubectl, helm, ...
    pub(crate) bin: PathBuf,
    /// The virtual environment of the local AWS.
    pub(crate) venv: PathBuf,
    /// The virtual environment of the `aws` command.
    pub(crate) aws_cli: PathBuf,
    pub(crate) cargo_deny: PathBuf,
    /// Whether the cluster is kind's.
    pub(crate) kind: bool,
}

impl Tools {
    pub(crate) fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }
}

/// Installs and builds what is missing.
pub(crate) fn ensure() -> Result<Tools> {
    packages()?;
    let kind = docker_runs();
    let tools = Tools {
        bin: go_tools(kind)?,
        venv: virtualenv("aws", PYTHON)?,
        aws_cli: virtualenv("awscli", AWS_CLI)?,
        cargo_deny: cargo_deny()?,
        kind,
    };
    Ok(tools)
}

/// Whether kind can be used, and nobody asked for the project's own cluster.
fn docker_runs() -> bool {
    std::env::var_os("DRAWBRIDGE_CLUSTER").is_none_or(|name| name != "own")
        && succeeds(command("docker").arg("info"))
}

fn packages() -> Result<()> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|name| {
            let status = output(command("dpkg-query").args(["-W", "-f", "${db:Status-Status}", name]));
            status.map_or(true, |status| status != "installed")
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if output(command("id").arg("-u"))?.trim() != "0" {
        bail!("the test bed needs root, to make network namespaces and to install: {missing:?}");
    }
    step("updating the package list", "apt-update", command("apt-get").arg("update"))?;
    step(
        &format!("installing {} Debian packages", missing.len()),
        "apt-install",
        command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "--no-install-recommends"])
            .args(missing),
    )
}

/// Builds into `<cache>/tools/<name>-<digest of the inputs>`, unless that is there. A build that was cut off leaves a
/// directory under another name, never half a result.
fn cached(name: &str, inputs: &[&[u8]], build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut hasher = Sha256::new();
    for input in inputs {
        hasher.update((input.len() as u64).to_be_bytes());
        hasher.update(input);
    }
    let digest = hasher.finalize();
    let digest =
        format!("{:016x}", u64::from_be_bytes(digest[..8].try_into().context("a digest of 32 bytes")?));
    let tools = paths::cache()?.join("tools");
    let done = tools.join(format!("{name}-{digest}"));
    if done.join(".complete").exists() {
        return Ok(done);
    }
    if done.exists() {
        fs::remove_dir_all(&done).with_context(|| format!("removing the unfinished {}", done.display()))?;
    }
    fs::create_dir_all(&done).with_context(|| format!("making {}", done.display()))?;
    build(&done)?;
    fs::write(done.join(".complete"), b"")?;
    let latest = tools.join(name);
    let _ = fs::remove_file(&latest); // absent the first time
    symlink(&done, &latest).with_context(|| format!("linking {}", latest.display()))?;
    Ok(done)
}

fn go_tools(kind: bool) -> Result<PathBuf> {
    let modules = paths::root().join("testbed/kubernetes/tools");
    let read = |path: &str| {
        fs::read(modules.join(path)).with_context(|| format!("reading testbed/kubernetes/tools/{path}"))
    };
    let pause = fs::read(paths::root().join("testbed/kubernetes/pause.c")).context("reading pause.c")?;
    let kube = cached(
        "kubernetes",
        &[&read("kube/go.mod")?, &read("kube/go.sum")?, KUBERNETES.as_bytes()],
        |out| {
            let programs = [
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kubectl",
                "kube-proxy",
            ];
            let packages: Vec<_> = programs.iter().map(|p| format!("k8s.io/kubernetes/cmd/{p}")).collect();
            let version = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].map(|package| {
                format!(
                    "-X {package}.gitVersion=v{KUBERNETES} -X {package}.gitMajor=1 -X {package}.gitMinor=34 \
                 -X {package}.gitTreeState=clean"
                )
            });
            go_build(
                "Kubernetes (about 5 minutes)",
                "kube",
                &format!("-s -w {}", version.join(" ")),
                out,
                &packages,
            )?;
            go_build("etcd", "kube", "-s -w", &out.join("etcd"), &["go.etcd.io/etcd/server/v3".to_owned()])
        },
    )?;
    let helm = cached("helm", &[&read("helm/go.mod")?, &read("helm/go.sum")?], |out| {
        go_build("Helm", "helm", "-s -w", out, &["helm.sh/helm/v3/cmd/helm".to_owned()])
    })?;
    let coredns = cached("coredns", &[&read("coredns/go.mod")?, &read("coredns/go.sum")?], |out| {
        go_build("CoreDNS", "coredns", "-s -w", out, &["github.com/coredns/coredns".to_owned()])
    })?;
    let pause = cached("pause", &[&pause], |out| {
        let mut gcc = command("gcc");
        gcc.args(["-Os", "-static", "-s", "-o"]).arg(out.join("pause")).arg("testbed/kubernetes/pause.c");
        step("building pause", "pause", &mut gcc)
    })?;
    // One directory with links to all of them.
    let mut all = vec![kube, helm, coredns, pause];
    if kind {
        all.push(cached("kind", &[&read("kind/go.mod")?, &read("kind/go.sum")?], |out| {
            go_build("kind", "kind", "-s -w", out, &["sigs.k8s.io/kind".to_owned()])
        })?);
    }
    let names: Vec<String> = all.iter().map(|dir| dir.display().to_string()).collect();
    cached("bin", &[names.join(" ").as_bytes()], |out| {
        for dir in all {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_name() != ".complete" {
                    symlink(entry.path(), out.join(entry.file_name()))?;
                }
            }
        }
        Ok(())
    })
}

fn go_build(what: &str, module: &str, ldflags: &str, out: &Path, packages: &[String]) -> Result<()> {
    if !succeeds(command("go").arg("version")) {
        bail!("Go is not on the PATH; the cluster's programs are built with it (1.26 was tried)");
    }
    let mut go = command("go");
    go.current_dir(paths::root().join("testbed/kubernetes/tools").join(module))
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-ldflags", ldflags, "-o"])
        .arg(if packages.len() > 1 || out.is_dir() { out.join("") } else { out.to_path_buf() })
        .args(packages);
    step(&format!("building {what}"), &format!("go-{}", what.split(' ').next().unwrap_or(module)), &mut go)
}

fn virtualenv(name: &str, packages: &[&str]) -> Result<PathBuf> {
    cached(&format!("venv-{name}"), &[packages.join(" ").as_bytes()], |out| {
        step(
            "making a Python environment",
            &format!("venv-{name}"),
            command("python3").args(["-m", "venv"]).arg(out),
        )?;
        let mut pip = command(out.join("bin/pip"));
        pip.args(["install", "--disable-pip-version-check"]).args(packages);
        step(&format!("installing {}", packages.join(" ")), &format!("pip-{name}"), &mut pip)
    })
}

fn cargo_deny() -> Result<PathBuf> {
    let root = cached("cargo-deny", &[CARGO_DENY.as_bytes()], |out| {
        let mut cargo = command("cargo");
        cargo
            .args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"])
            .arg(out)
            .env("CARGO_TARGET_DIR", out.join("target"))
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        step("building cargo-deny", "cargo-deny", &mut cargo)?;
        fs::remove_dir_all(out.join("target")).context("removing cargo-deny's build directory")
    })?;
    Ok(root.join("bin/cargo-deny"))
}

/// Says which tools are used; the demo's first lines.
pub(crate) fn describe(tools: &Tools) {
    say(&format!(
        "Kubernetes v{KUBERNETES} from {}, local AWS from {}",
        tools.bin.display(),
        tools.venv.display()
    ));
}
