//! The release before, built from its own commit in a worktree, so that what is proved of it is proved of its own code.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    package::{self, Package},
    paths,
    shell::{command, step},
    tools::Tools,
};

/// The release before this one. `docs/upgrades.md` names it.
pub(crate) const COMMIT: &str = "94692b256e7273b6d71413a2b3084d5c8b381c55";
/// The tag of its controller's image.
pub(crate) const TAG: &str = "previous";

/// Starts a function of the release before, which trusts the system's CAs alone, on a system that trusts the run's.
const BOOTSTRAP: &str = r#"#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
SSL_CERT_FILE="$here/ca.crt" exec "$here/function" "$@"
"#;

/// What was built of it.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    /// Its sources.
    pub(crate) tree: PathBuf,
    release: PathBuf,
}

/// Checks it out under `target/previous` and compiles it there; what is there is built no further.
pub(crate) fn build() -> Result<Previous> {
    let place = paths::target().join("previous");
    let (tree, target) = (place.join("tree"), place.join("target"));
    if !tree.exists() {
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        let mut git = command("git");
        git.args(["worktree", "add", "--force", "--detach"]).arg(&tree).arg(COMMIT);
        step("checking out the release before", "previous-worktree", &mut git)?;
    }
    let mut cargo = command("cargo");
    cargo
        .args(["build", "--release", "--locked", "--workspace", "--bins"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&tree);
    step("building the release before (cold: about 15 minutes)", "previous-build", &mut cargo)?;
    Ok(Previous { tree, release: target.join("release") })
}

impl Previous {
    /// Its functions in zips, with the CA of the run's AWS beside them. It has no posture function: this release's stays.
    pub(crate) fn functions(&self, ca: &Path, now: &Package) -> Result<Package> {
        let out = paths::target().join("previous/package");
        fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
        let bootstrap = out.join("bootstrap");
        fs::write(&bootstrap, BOOTSTRAP).with_context(|| format!("writing {}", bootstrap.display()))?;
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("making {} executable", bootstrap.display()))?;
        let (create_zip, cleanup_zip) = (out.join("create.zip"), out.join("cleanup.zip"));
        let [create, cleanup, jumpbox] =
            ["create", "cleanup", "drawbridge-jumpbox"].map(|name| self.release.join(name));
        let (bootstrap, ca) = (("bootstrap", bootstrap.as_path()), ("ca.crt", ca));
        let of_create = [bootstrap, ca, ("function", create.as_path()), ("jumpbox", jumpbox.as_path())];
        package::write_zip(&create_zip, &of_create)?;
        package::write_zip(&cleanup_zip, &[bootstrap, ca, ("function", cleanup.as_path())])?;
        Ok(Package { create_zip, cleanup_zip, ..now.clone() })
    }

    /// What its own sources call it.
    pub(crate) fn version(&self) -> Result<String> {
        let path = self.tree.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let version = text.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        version
            .map(str::to_owned)
            .with_context(|| format!("{} has no line version = \"...\"", path.display()))
    }

    /// Its controller's image.
    pub(crate) fn image(&self, tools: &Tools) -> Result<PathBuf> {
        let image = paths::target().join("previous/package/controller.tar");
        package::write_image(tools, &self.release.join("drawbridge-controller"), TAG, &image)?;
        Ok(image)
    }
}
