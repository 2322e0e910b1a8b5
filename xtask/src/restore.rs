//! Restores a finished job with `aws s3 cp`, `openssl`, `sha256sum`, `zstd` and `tar` alone, as docs/restore.md says, and
//! compares with the pods.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    bed::Bed,
    docs, paths,
    shell::{command, output, say, succeeds},
};

/// Prints everything that counts of a tree, the same in a pod and in a restore: digests, links, modes, types.
/// Arguments: a root, then paths below it. Both sides run it in busybox, whose output then needs no translation.
const DESCRIBE: &str = r#"
cd "$1" || exit 1
shift
export LC_ALL=C
find "$@" -type f -print0 | sort -z | xargs -0 -r sha256sum
find "$@" -type l -print0 | sort -z | xargs -0 -r stat -c '%N'
find "$@" '(' -type f -o -type d ')' -print0 | sort -z | xargs -0 -r stat -c '%a %F %n'
"#;

/// What a restore found.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) artifacts: usize,
    pub(crate) stored_bytes: u64,
    pub(crate) files: usize,
    /// The box's machine, as the manifest names it.
    pub(crate) instance: String,
}

/// Fetches the job's objects into `dir`, checks and unpacks them, and compares each with the pod it came from.
pub(crate) fn and_compare(bed: &Bed, job: &Value, dir: &Path) -> Result<Restored> {
    let receipt = &job["status"]["receipt"];
    let bucket = receipt["bucket"].as_str().context("the job's receipt names no bucket")?;
    let manifest_key = receipt["manifest"].as_str().context("the job's receipt names no manifest")?;
    let prefix = manifest_key
        .strip_suffix("manifest.json")
        .context("the manifest's key does not end in manifest.json")?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;

    say(&format!("  aws s3 cp --recursive s3://{bucket}/{prefix} ."));
    let mut aws = command(bed.tools.aws_cli.join("bin/aws"));
    output(bed.as_engineer(&mut aws).current_dir(dir).args([
        "s3",
        "cp",
        "--quiet",
        "--recursive",
        &format!("s3://{bucket}/{prefix}"),
        ".",
    ]))?;
    verify(bed, dir)?;
    let expected =
        receipt["manifestSha256"].as_str().context("the job's receipt has no digest of the manifest")?;
    let found = output(command("sha256sum").current_dir(dir).arg("manifest.json"))?;
    ensure!(found.starts_with(expected), "manifest.json is not the one that the receipt names: {found}");

    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.join("manifest.json"))?).context("parsing manifest.json")?;
    let artifacts =
        manifest["predicate"]["artifacts"].as_array().context("the manifest lists no artifacts")?;
    ensure!(!artifacts.is_empty(), "the manifest lists no artifacts");
    say(&format!("  zstd -dc ARTIFACT | tar -xp, and a comparison with its pod, {} times", artifacts.len()));
    let instance =
        manifest["predicate"]["instance"].as_str().context("the manifest names no instance")?.to_owned();
    let mut restored = Restored { artifacts: artifacts.len(), stored_bytes: 0, files: 0, instance };
    for (number, artifact) in artifacts.iter().enumerate() {
        restored.stored_bytes += artifact["observed"]["bytes"].as_u64().unwrap_or(0);
        let tree = dir.join(format!("restored-{number}"));
        unpack(dir, artifact, &tree)?;
        restored.files += compare(bed, &artifact["claimed"], &tree)?;
    }
    Ok(restored)
}

/// The chain from the pinned key to every byte, by the commands of docs/restore.md and by `drawbridge verify`. Both must
/// take what was fetched, and neither may take it with a byte more.
fn verify(bed: &Bed, dir: &Path) -> Result<()> {
    let key = bed.pin_receipt_key()?;
    let by_hand = || -> Result<Command> {
        let mut script = docs::block("restore.md", "verify")?;
        script.current_dir(dir).env("RECEIPT_KEY", &key);
        Ok(script)
    };
    let by_program = || {
        let mut program = command(paths::target().join("release/drawbridge"));
        program.arg("verify").arg(dir).arg("--receipt-key").arg(&key);
        program
    };
    say("  openssl, jq, sha256sum: certificate, manifest and objects, from the pinned receipt key");
    output(&mut by_hand()?)?;
    say("  drawbridge verify . --receipt-key \"$RECEIPT_KEY\"");
    output(&mut by_program())?;
    let stray = dir.join("stray");
    fs::write(&stray, "x").with_context(|| format!("writing {}", stray.display()))?;
    let taken = succeeds(&mut by_hand()?) || succeeds(&mut by_program());
    fs::remove_file(&stray).with_context(|| format!("removing {}", stray.display()))?;
    ensure!(!taken, "a file that no manifest names was taken for part of the backup");
    Ok(())
}

fn unpack(dir: &Path, artifact: &Value, tree: &Path) -> Result<()> {
    fs::create_dir(tree).with_context(|| format!("making {}", tree.display()))?;
    let objects = artifact["observed"]["objects"].as_array().context("an artifact without objects")?;
    let files: Vec<PathBuf> = objects
        .iter()
        .filter_map(|object| object["key"].as_str()?.rsplit('/').next())
        .map(|name| dir.join(name))
        .collect();
    // `cat` joins the objects of an artifact that was too large for one.
    let mut shell = command("bash");
    shell.args([
        "-c",
        r#"set -eo pipefail; tree=$1; shift; cat -- "$@" | zstd -dcq | tar -xp -C "$tree""#,
        "restore",
    ]);
    output(shell.arg(tree).args(files)).map(|_| ())
}

/// The number of files that were compared.
fn compare(bed: &Bed, claimed: &Value, tree: &Path) -> Result<usize> {
    let field = |name: &str| claimed[name].as_str().unwrap_or_default().to_owned();
    let (namespace, pod, container) = (field("namespace"), field("pod"), field("container"));
    let paths: Vec<String> = claimed["paths"]
        .as_array()
        .context("an artifact without paths")?
        .iter()
        .filter_map(|path| path.as_str())
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect();
    let mut there = bed.kubectl();
    there.args(["exec", "--namespace", &namespace, &pod, "--container", &container, "--"]);
    let there = output(there.args(["sh", "-c", DESCRIBE, "describe", "/"]).args(&paths))?;
    let mut here = command("/bin/busybox");
    let here = output(here.args(["sh", "-c", DESCRIBE, "describe"]).arg(tree).args(&paths))?;
    let files = there.lines().filter(|line| line.len() > 66 && line.as_bytes()[64] == b' ').count();
    ensure!(files > 0, "pod {namespace}/{pod} shows no files under {paths:?}");
    if there != here {
        let differing = there.lines().zip(here.lines()).find(|(a, b)| a != b);
        bail!("the restore of pod {namespace}/{pod} differs from the pod; first difference: {differing:?}");
    }
    Ok(files)
}
