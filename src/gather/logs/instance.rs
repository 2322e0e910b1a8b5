//! Which logs of a pod's containers can be read now. It follows kubelet's own choice (`validateContainerLogStatus`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use crate::api::LogsSource;

/// One run of a container, with a log of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gather) struct Instance {
    /// Asked for with `previous`.
    pub previous: bool,
    /// The runtime's id.
    pub id: String,
    /// Restarts of the container before this run.
    pub restarts: i64,
    /// To the second, as Kubernetes has it.
    pub started_at: Option<Timestamp>,
    /// Its log does not grow any more.
    pub ended: bool,
    pub finished_at: Option<Timestamp>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gather) struct Container {
    pub name: String,
    /// The digest of its image, where the node reported it.
    pub image: String,
    /// The older one first; none if it never ran.
    pub instances: Vec<Instance>,
}

/// The containers of `pod` that `source` means: init, plain and ephemeral ones.
pub(in crate::gather) fn of_pod(source: &LogsSource, pod: &Pod) -> Vec<Container> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().filter(|_| source.init_containers).map(|c| &c.name);
    let plain = spec.containers.iter().map(|c| &c.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| &c.name);
    let wanted = |name: &&String| source.containers.is_empty() || source.containers.contains(name);
    let statuses = || {
        let status = pod.status.iter();
        status.flat_map(|status| {
            let (init, plain) = (&status.init_container_statuses, &status.container_statuses);
            [init, plain, &status.ephemeral_container_statuses].into_iter().flatten().flatten()
        })
    };
    init.chain(plain)
        .chain(ephemeral)
        .filter(wanted)
        .map(|name| {
            let status = statuses().find(|status| status.name == *name);
            let image = status.map(|status| {
                if status.image_id.is_empty() { status.image.clone() } else { status.image_id.clone() }
            });
            let instances = status.map(|status| instances(status, source.previous)).unwrap_or_default();
            Container { name: name.clone(), image: image.unwrap_or_default(), instances }
        })
        .collect()
}

fn instances(status: &ContainerStatus, previous: bool) -> Vec<Instance> {
    let restarts = i64::from(status.restart_count);
    let last =
        status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).filter(|last| has_id(last));
    let state = status.state.as_ref();
    let current = if let Some(running) = state.and_then(|state| state.running.as_ref()) {
        status.container_id.clone().map(|id| Instance {
            previous: false,
            id,
            restarts,
            started_at: running.started_at.as_ref().map(|time| time.0),
            ended: false,
            finished_at: None,
        })
    } else {
        // Waiting for its next run, or never run again after a failed start: kubelet gives the log of the last run.
        let terminated = state.and_then(|state| state.terminated.as_ref()).filter(|run| has_id(run));
        terminated.or(last).map(|run| ended(run, restarts, false))
    };
    let before = last
        .filter(|last| {
            previous && current.as_ref().is_none_or(|current| Some(&current.id) != last.container_id.as_ref())
        })
        .map(|last| ended(last, (restarts - 1).max(0), true));
    before.into_iter().chain(current).collect()
}

fn ended(run: &ContainerStateTerminated, restarts: i64, previous: bool) -> Instance {
    Instance {
        previous,
        id: run.container_id.clone().unwrap_or_default(),
        restarts,
        started_at: run.started_at.as_ref().map(|time| time.0),
        ended: true,
        finished_at: run.finished_at.as_ref().map(|time| time.0),
    }
}

fn has_id(run: &ContainerStateTerminated) -> bool {
    run.container_id.as_ref().is_some_and(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;

    fn source(more: &Value) -> LogsSource {
        let mut source = json!({ "selector": { "matchLabels": { "app": "web" } } });
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(source).unwrap()
    }

    fn run(id: &str) -> Value {
        json!({ "containerID": id, "exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z" })
    }

    fn pod(state: &Value, last: &Value) -> Pod {
        let status = |name: &str, id: &str, state: &Value, last: &Value| {
            json!({ "name": name, "image": "i", "imageID": "i@sha256:1", "ready": true, "restartCount": 3,
                    "containerID": id, "state": state, "lastState": last })
        };
        serde_json::from_value(json!({
            "metadata": { "name": "web-0" },
            "spec": { "initContainers": [{ "name": "init" }], "containers": [{ "name": "app" }] },
            "status": {
                "initContainerStatuses": [status("init", "c://i", &json!({ "terminated": run("c://i") }), &json!({}))],
                "containerStatuses": [status("app", "c://b", state, last)] }
        }))
        .unwrap()
    }

    fn seen(source: &LogsSource, pod: &Pod) -> Vec<String> {
        let containers = of_pod(source, pod);
        let each = |container: &Container| {
            container
                .instances
                .iter()
                .map(|i| {
                    let flags =
                        (if i.previous { "previous " } else { "" }, if i.ended { " ended" } else { "" });
                    format!("{} {}{}#{}{}", container.name, flags.0, i.id, i.restarts, flags.1)
                })
                .collect::<Vec<_>>()
        };
        containers.iter().flat_map(each).collect()
    }

    #[test]
    fn the_table() {
        let running = json!({ "running": { "startedAt": "2026-01-01T00:02:00Z" } });
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let ended = json!({ "terminated": run("c://b") });
        let failed_to_start = json!({ "terminated": { "exitCode": 128 } });
        let (none, last) = (json!({}), json!({ "terminated": run("c://a") }));
        let all = source(&json!({}));
        let cases = [
            ("the first run", &running, &none, vec!["app c://b#3"]),
            ("a later run", &running, &last, vec!["app previous c://a#2 ended", "app c://b#3"]),
            ("waiting after a run", &waiting, &last, vec!["app c://a#3 ended"]),
            ("never run", &waiting, &none, vec![]),
            ("ended", &ended, &last, vec!["app previous c://a#2 ended", "app c://b#3 ended"]),
            ("the next run did not start", &failed_to_start, &last, vec!["app c://a#3 ended"]),
        ];
        for (what, state, last, expected) in cases {
            let mut expected = expected.clone();
            expected.insert(0, "init c://i#3 ended");
            assert_eq!(seen(&all, &pod(state, last)), expected, "{what}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let running = json!({ "running": {} });
        let pod = pod(&running, &json!({ "terminated": run("c://a") }));
        assert_eq!(
            seen(&source(&json!({ "initContainers": false, "previous": false })), &pod),
            ["app c://b#3"]
        );
        assert_eq!(seen(&source(&json!({ "containers": ["init"] })), &pod), ["init c://i#3 ended"]);
    }
}
