//! `cargo xtask demo`: the main job from nothing, and what it left.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{
    bed::{Bed, Leftovers},
    package, paths,
    restore::{self, Restored},
    shell::{output, say, started, step},
    tools,
    watch::{self, Watched, human},
};

const DEMO_NAMESPACE: &str = "demo";
const JOB: &str = "first-backup";

#[derive(Args)]
pub(crate) struct Options {
    /// Names the run; two runs with different names stand side by side.
    #[arg(long, default_value = "demo")]
    run: String,
    /// Leaves everything running and prints how to look around.
    #[arg(long)]
    keep: bool,
    /// Removes everything that a kept or a killed run left, and does nothing else.
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    started();
    if options.down {
        return Bed::down(&options.run);
    }
    let tools = tools::ensure()?;
    tools::describe(&tools);
    let package = package::build(&tools)?;
    Bed::down(&options.run)?;
    let result = Bed::up(&options.run, &tools, &package).and_then(|bed| {
        let told = backup_and_restore(&bed);
        if told.is_err() {
            explain(&bed);
        }
        told.map(|table| (bed, table))
    });
    let kept = if options.keep { result.as_ref().ok().map(|(bed, _)| look_around(bed)) } else { None };
    if kept.is_none() {
        Bed::down(&options.run)?;
    }
    let (_, table) = result?;
    if let Some(text) = kept {
        println!("{text}");
    }
    println!("{table}");
    Ok(())
}

fn backup_and_restore(bed: &Bed) -> Result<String> {
    bed.install()?;
    deploy_workload(bed)?;
    step(
        "kubectl apply -f examples/backupjob.yaml",
        "apply-job",
        bed.kubectl().args(["apply", "-f", "examples/backupjob.yaml"]),
    )?;
    let watched = watch::until_complete(bed, DEMO_NAMESPACE, JOB, Duration::from_mins(5))?;
    say("restoring with aws s3 cp, openssl, sha256sum, zstd and tar alone");
    let dir = paths::target().join(format!("demo-restore-{}", bed.run));
    let restored = restore::and_compare(bed, &watched.job, &dir)?;
    say(&format!(
        "  {} files in {} artifacts are what they were in the pods",
        restored.files, restored.artifacts
    ));
    let leftovers = bed.leftovers()?;
    let actions = bed.operator_actions()?;
    let session =
        watched.job["status"]["receipt"]["session"].as_str().context("the receipt names no session")?;
    let exposure = bed.exposure(session, &restored.instance)?;
    table(&watched, &restored, exposure, &leftovers, &actions)
}

/// Two replicas with a tree of odd names, and the account that may gather from them.
pub(crate) fn deploy_workload(bed: &Bed) -> Result<()> {
    let mut apply = bed.kubectl();
    apply.args(["apply", "-f", "examples/demo/workload.yaml", "-f", "examples/gatherer.yaml"]);
    step("deploying a workload worth backing up", "workload", &mut apply)?;
    let mut wait = bed.kubectl();
    wait.args(["rollout", "status", "--namespace", DEMO_NAMESPACE, "statefulset/demo-app", "--timeout=120s"]);
    output(&mut wait).map(|_| ())
}

fn table(
    watched: &Watched,
    restored: &Restored,
    exposure: f64,
    leftovers: &Leftovers,
    actions: &[String],
) -> Result<String> {
    let left_pending = watched.left_pending.context("the job was never seen outside Pending")?;
    ensure!(!actions.is_empty(), "the operator's deployed policies name no action");
    let rows = [
        ("artifacts", restored.artifacts.to_string()),
        ("bytes stored", format!("{} ({})", restored.stored_bytes, human(restored.stored_bytes))),
        (
            "seconds from the first possible TCP accept on 22 to the end of `running`",
            format!("{exposure:.2}"),
        ),
        ("boxes left (asked from EC2)", leftovers.instances.len().to_string()),
        ("AWS actions that the cluster's identity may do", actions.join("; ")),
        (
            "seconds from `cargo xtask demo` to the first BackupJob leaving Pending",
            format!("{:.1}", left_pending.as_secs_f64()),
        ),
    ];
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("| {name:width$} | {value}")).collect();
    Ok(format!("\n{}", lines.join("\n")))
}

fn look_around(bed: &Bed) -> String {
    let aws = &bed.facts["aws"];
    format!(
        "\nKept. Look around:\n  export KUBECONFIG={} PATH={}:{}:$PATH\n  kubectl get backupjobs -A; kubectl -n drawbridge-system logs deploy/drawbridge\n  \
         export AWS_ENDPOINT_URL={} AWS_CA_BUNDLE={} AWS_REGION={} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}\n  aws s3 ls --recursive s3://{}\nRemove it: cargo xtask demo --down --run {}",
        bed.kubeconfig(),
        bed.tools.bin.display(),
        bed.tools.aws_cli.join("bin").display(),
        aws["endpoint"].as_str().unwrap_or_default(),
        bed.ca_bundle(),
        aws["region"].as_str().unwrap_or_default(),
        aws["root"]["access_key_id"].as_str().unwrap_or_default(),
        aws["root"]["secret_access_key"].as_str().unwrap_or_default(),
        bed.stack["outputs"]["BackupBucket"].as_str().unwrap_or_default(),
        bed.run,
    )
}

/// After a failure: what a person would look at first.
fn explain(bed: &Bed) {
    for arguments in [
        &["get", "backupjobs,pods", "-A"][..],
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        &["-n", "drawbridge-system", "logs", "deploy/drawbridge", "--tail=40"],
    ] {
        match output(bed.kubectl().args(arguments)) {
            Ok(text) => eprintln!("$ kubectl {}\n{text}", arguments.join(" ")),
            Err(error) => eprintln!("$ kubectl {}\n{error}", arguments.join(" ")),
        }
    }
}
