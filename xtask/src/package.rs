//! What a user deploys: the Lambda zips, the box, the controller's image. Same sources, same bytes.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    paths,
    shell::{command, say, step},
    tools::Tools,
};

/// The built artifacts.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) create_zip: PathBuf,
    pub(crate) cleanup_zip: PathBuf,
    pub(crate) posture_zip: PathBuf,
    pub(crate) image: PathBuf,
}

/// Compiles every program in release.
pub(crate) fn compile() -> Result<()> {
    if std::env::var_os("DRAWBRIDGE_NO_BUILD").is_some() {
        say("DRAWBRIDGE_NO_BUILD is set: using the programs that are there");
        return Ok(());
    }
    let mut cargo = command("cargo");
    // The whole workspace and one test: cargo picks the features of dependencies by the packages that it is asked for,
    // and by whether a test is among the targets. The tests ask for all; another choice here would compile most
    // dependencies twice.
    cargo.args(["build", "--release", "--locked", "--workspace", "--bins", "--test", "boundaries"]);
    step(
        "building the controller, the box and the Lambdas (cold: about 15 minutes)",
        "cargo-build",
        &mut cargo,
    )
}

/// The controller's program, as [`compile`] leaves it.
pub(crate) fn controller() -> PathBuf {
    paths::target().join("release/drawbridge-controller")
}

/// Packs what [`compile`] built into `target/package/`.
pub(crate) fn build(tools: &Tools) -> Result<Package> {
    compile()?;
    let release = paths::target().join("release");
    let out = paths::target().join("package");
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let create_zip = out.join("create.zip");
    write_zip(
        &create_zip,
        &[("bootstrap", &release.join("create")), ("jumpbox", &release.join("drawbridge-jumpbox"))],
    )?;
    let cleanup_zip = out.join("cleanup.zip");
    write_zip(&cleanup_zip, &[("bootstrap", &release.join("cleanup"))])?;
    let posture_zip = out.join("posture.zip");
    write_zip(&posture_zip, &[("bootstrap", &release.join("posture"))])?;

    let image = out.join("controller.tar");
    write_image(tools, &controller(), env!("CARGO_PKG_VERSION"), &image)?;
    Ok(Package { create_zip, cleanup_zip, posture_zip, image })
}

/// Makes the controller's image of its program.
pub(crate) fn write_image(tools: &Tools, program: &Path, tag: &str, image: &Path) -> Result<()> {
    let mut python = command(tools.python());
    python
        .arg("images/controller.py")
        .arg("--binary")
        .arg(program)
        .args(["--name", &format!("drawbridge.dev/controller:{tag}"), "--out"])
        .arg(image);
    step("packing the controller's image", "image", &mut python)
}

/// Writes executables into a zip with fixed times, so that the same programs give the same bytes. Under another name
/// first: whoever packs or deploys at the same time never sees half a zip.
pub(crate) fn write_zip(path: &Path, entries: &[(&str, &Path)]) -> Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let file = File::create(&draft).with_context(|| format!("writing {}", draft.display()))?;
    let mut zip = ZipWriter::new(file);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    for (name, program) in entries {
        let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        zip.start_file(*name, options).with_context(|| format!("adding {name} to {}", path.display()))?;
        zip.write_all(&bytes)?;
    }
    zip.finish().with_context(|| format!("finishing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("renaming {} to {}", draft.display(), path.display()))
}
