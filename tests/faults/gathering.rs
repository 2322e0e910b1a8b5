//! What can be wrong on the Kubernetes side of one job.

use std::time::Duration;

use serde_json::json;

use crate::{
    bed::Bed,
    case::{Case, LIMIT, Spec},
    pods::{EXEC, LIST, LONG, Place, SMALL},
};

#[test]
fn a_container_without_tar() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-tar");
    place.start("without", &json!({"name": "app", "image": "drawbridge.test/shell:1"}));
    place.pod("with", SMALL);
    Case::begin(&bed, "no tar in the container", "fault-tar", "job", &Spec::of("without"))
        .fails("TarMissing", &["pod without", "container app", "there is no tar"]);
    Case::twin(&bed, "fault-tar", "job", &Spec::of("with"));
}

#[test]
fn a_container_without_a_shell() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-shell");
    place.start("bare", &json!({"name": "app", "image": "drawbridge.test/pause:1"}));
    place.pod("shell", SMALL);
    Case::begin(&bed, "no sh in the container", "fault-shell", "job", &Spec::of("bare"))
        .fails("TarMissing", &["pod bare", "no sh to run it"]);
    Case::twin(&bed, "fault-shell", "job", &Spec::of("shell"));
}

#[test]
fn a_path_that_does_not_exist() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-path");
    place.pod("app", SMALL);
    let wrong = Spec { path: "/nowhere", ..Spec::of("app") };
    Case::begin(&bed, "a path that does not exist", "fault-path", "job", &wrong)
        .fails("PathMissing", &["pod app", "nowhere", "No such file"]);
    Case::twin(&bed, "fault-path", "job", &Spec::of("app"));
}

#[test]
fn a_path_that_may_not_be_read() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-unreadable");
    let script = "mkdir /data/own && echo secret > /data/own/key && chmod 0 /data/own/key; touch /tmp/done; exec sleep 86400";
    place.start(
        "app",
        &json!({"name": "app", "image": "drawbridge.test/busybox:1", "command": ["sh", "-c", script],
            "securityContext": {"runAsUser": 65_534},
            "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1, "failureThreshold": 120}}),
    );
    Case::begin(&bed, "a path that may not be read", "fault-unreadable", "job", &Spec::of("app")).fails(
        "PathUnreadable",
        &["pod app", "Permission denied", "may not be read by the container's user"],
    );
    bed.kubectl(&["exec", "-n", "fault-unreadable", "app", "--", "chmod", "600", "/data/own/key"]).unwrap();
    Case::twin(&bed, "fault-unreadable", "job", &Spec::of("app"));
}

#[test]
fn a_container_that_is_not_there_and_a_pod_that_does_not_run() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-container");
    place.pod("app", SMALL);
    place.create("pending", &json!({"name": "app", "image": "drawbridge.test/no-such-image:1"}));
    let wrong = Spec { container: Some("sidecar"), ..Spec::of("app") };
    Case::begin(&bed, "a container that the pod has not", "fault-container", "sidecar", &wrong)
        .fails("ContainerMissing", &["pod app", "no container sidecar", "it has app"]);
    Case::begin(&bed, "a pod that does not run", "fault-container", "pending", &Spec::of("pending"))
        .fails("PodNotRunning", &["pod pending", "Pending"]);
    Case::twin(&bed, "fault-container", "job", &Spec::of("app"));
}

#[test]
fn a_namespace_without_the_gatherer_account() {
    let bed = Bed::open();
    let place = Place::without_gatherer(&bed, "fault-account");
    place.pod("app", SMALL);
    Case::begin(&bed, "no service account", "fault-account", "job", &Spec::of("app"))
        .fails("GathererMissing", &["namespace fault-account", "drawbridge-gatherer", "create it"]);
    place.gatherer(&[LIST, EXEC]);
    Case::twin(&bed, "fault-account", "job", &Spec::of("app"));
}

#[test]
fn a_gatherer_that_may_not_list_or_not_exec() {
    let bed = Bed::open();
    let place = Place::without_gatherer(&bed, "fault-rights");
    place.pod("app", SMALL);
    place.gatherer(&[EXEC]);
    Case::begin(&bed, "a gatherer that may not list pods", "fault-rights", "list", &Spec::of("app"))
        .fails("GathererForbidden", &["list pods", "fault-rights", "bind drawbridge-gatherer"]);
    place.gatherer(&[LIST]);
    Case::begin(&bed, "a gatherer that may not exec", "fault-rights", "exec", &Spec::of("app"))
        .fails("GathererForbidden", &["exec into pod app", "fault-rights", "bind drawbridge-gatherer"]);
    place.gatherer(&[LIST, EXEC]);
    Case::twin(&bed, "fault-rights", "job", &Spec::of("app"));
}

#[test]
fn an_exec_that_ends_early() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-exec");
    place.pod("app", LONG);
    let spec = Spec::of("app");
    let case = Case::begin(&bed, "tar killed in mid-stream", "fault-exec", "tar", &spec);
    case.job.wait_until_bytes_cross(LIMIT);
    let kill = ["exec", "-n", "fault-exec", "app", "--", "sh", "-c", "kill -9 $(pidof tar)"];
    bed.kubectl(&kill).unwrap();
    case.fails("StreamTruncated", &["pod app", "ended early", "137"]);
    Case::twin(&bed, "fault-exec", "job", &spec);
}

#[test]
fn a_pod_that_is_evicted_or_deleted_in_mid_stream() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-evicted");
    for (fault, name, evict) in
        [("pod evicted in mid-stream", "evicted", true), ("pod deleted in mid-stream", "deleted", false)]
    {
        place.pod(name, LONG);
        let spec = Spec { retries: 5, ..Spec::of(name) };
        let case = Case::begin(&bed, fault, "fault-evicted", name, &spec);
        case.job.wait_until_bytes_cross(LIMIT);
        if evict {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": name, "namespace": "fault-evicted"}});
            let path = format!("/api/v1/namespaces/fault-evicted/pods/{name}/eviction");
            bed.create_raw(&path, &eviction).unwrap();
        } else {
            bed.kubectl(&["delete", "pod", "-n", "fault-evicted", name, "--wait=true"]).unwrap();
        }
        case.retries_until_mended("StreamTruncated", &[&format!("pod {name}"), "ended early"], || {
            place.pod(name, SMALL);
        });
    }
}

#[test]
fn a_job_that_is_not_over_at_its_deadline() {
    let bed = Bed::open();
    Place::new(&bed, "fault-deadline");
    let spec = Spec { vault: "no-such-vault", deadline: 8, ..Spec::of("app") };
    Case::begin(&bed, "the job's deadline", "fault-deadline", "job", &spec).fails_within(
        Duration::from_secs(40),
        "DeadlineExceeded",
        &["8 s", "VaultNotFound", "there is no BackupVault no-such-vault"],
    );
}
