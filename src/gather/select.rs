//! From a source to the pods and containers that it means, as they are now.

use std::collections::{BTreeMap, HashSet};

use drawbridge_protocol::ArtifactName;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::{Api, api::ListParams, core::Selector as LabelExpressions};

use super::{
    GatherError, Gatherer,
    logs::{self, Base, Plan},
    name, token,
};
use crate::api::{FilesSource, KeptLog, LogsSource, MAX_KEPT, Source, SourceKind};

/// `kubectl` reads it to choose a container, so users expect it.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Pods are listed in pages of this size, so that a namespace of thousands costs no memory to speak of.
const PAGE: u32 = 200;

/// What the newest complete jobs of their series stored, by the source's name.
pub type Bases = BTreeMap<String, Base>;

/// One container to gather from; it yields one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub artifact: ArtifactName,
    pub source: String,
    pub namespace: String,
    pub pod: String,
    pub pod_uid: String,
    pub container: String,
    /// The digest of the image that runs, where the node reported it.
    pub image: String,
    pub content: Content,
}

/// What is gathered from a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Files { paths: Vec<String>, exclude: Vec<String> },
    Logs(Box<Plan>),
}

impl Gatherer {
    /// What `sources` mean now. None of them may mean nothing.
    pub async fn select(
        &self,
        sources: &[Source],
        bases: &Bases,
        now: Timestamp,
    ) -> Result<Vec<Target>, GatherError> {
        let mut targets = Vec::new();
        for source in sources {
            let pods = self.pods(source).await?;
            if pods.is_empty() {
                return Err(self.no_pods(source));
            }
            let found = targets.len();
            match &source.kind {
                SourceKind::Files(files) => {
                    for pod in &pods {
                        targets.extend(target(source, files, self.namespace(), pod)?);
                    }
                    if targets.len() == found {
                        return Err(self.no_pods(source));
                    }
                }
                SourceKind::Logs(logs) => {
                    let base = bases.get(&source.name);
                    targets.extend(self.log_targets(source, logs, base, &pods, now).await?);
                }
            }
        }
        Ok(targets)
    }

    fn no_pods(&self, source: &Source) -> GatherError {
        GatherError::NoPods {
            source_name: source.name.clone(),
            namespace: self.namespace().to_owned(),
            selector: source.selector().to_string(),
        }
    }

    /// The containers of `pods` that have a log, and those of deleted pods whose logs were not stored to their end.
    async fn log_targets(
        &self,
        source: &Source,
        logs: &LogsSource,
        base: Option<&Base>,
        pods: &[Pod],
        now: Timestamp,
    ) -> Result<Vec<Target>, GatherError> {
        let mut targets = Vec::new();
        for pod in pods {
            targets.extend(log_targets(source, logs, self.namespace(), pod, base)?);
        }
        if targets.is_empty() {
            return Err(GatherError::NoLogs { source_name: source.name.clone() });
        }
        if logs.series.is_some() && targets.len() > MAX_KEPT {
            let (source_name, found) = (source.name.clone(), targets.len());
            return Err(GatherError::TooManyContainers { source_name, found, max: MAX_KEPT });
        }
        let listed: HashSet<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        for kept in base.iter().flat_map(|base| logs::vanished(base, &listed)) {
            if self.is_gone(kept).await? {
                lose(&mut targets, base, kept, self.namespace(), now)?;
            }
        }
        Ok(targets)
    }

    /// Whether the pod is gone, and not only without the labels that it had.
    async fn is_gone(&self, kept: &KeptLog) -> Result<bool, GatherError> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, self.namespace());
        let what = format!("look for pod {}", kept.pod);
        let pod = pods.get_metadata_opt(&kept.pod).await;
        let pod = pod.map_err(|error| token::api_error(self.namespace(), &what, &error))?;
        Ok(pod.is_none_or(|pod| pod.metadata.uid.as_ref() != Some(&kept.pod_uid)))
    }

    async fn pods(&self, source: &Source) -> Result<Vec<Pod>, GatherError> {
        let namespace = self.namespace();
        let selector =
            LabelExpressions::try_from(LabelSelector::from(source.selector())).map_err(|error| {
                GatherError::Api {
                    namespace: namespace.to_owned(),
                    what: format!("read the selector of source {}", source.name),
                    message: error.to_string(),
                }
            })?;
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        let mut page = ListParams::default().labels_from(&selector).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let list =
                pods.list(&page).await.map_err(|error| token::api_error(namespace, "list pods", &error))?;
            found.extend(list.items);
            match list.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page.continue_token = Some(next),
                None => return Ok(found),
            }
        }
    }
}

/// The target in one pod; `None` if the pod has ended or is about to.
fn target(
    source: &Source,
    files: &FilesSource,
    namespace: &str,
    pod: &Pod,
) -> Result<Option<Target>, GatherError> {
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
    if pod.metadata.deletion_timestamp.is_some() || matches!(phase, "Succeeded" | "Failed") {
        return Ok(None);
    }
    let container = container(source, files, &pod_name, pod)?;
    if phase != "Running" {
        let (source_name, phase) = (source.name.clone(), phase.to_owned());
        return Err(GatherError::NotRunning { source_name, pod: pod_name, phase });
    }
    let artifact = artifact(&source.name, &pod_name, &container, name::FILES)?;
    Ok(Some(Target {
        artifact,
        source: source.name.clone(),
        namespace: namespace.to_owned(),
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        image: image(pod, &container),
        pod: pod_name,
        container,
        content: Content::Files { paths: files.paths.clone(), exclude: files.exclude.clone() },
    }))
}

/// The containers of one pod that have a log. Ended pods count: their logs are there until they are deleted.
fn log_targets(
    source: &Source,
    logs: &LogsSource,
    namespace: &str,
    pod: &Pod,
    base: Option<&Base>,
) -> Result<Vec<Target>, GatherError> {
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let pod_uid = pod.metadata.uid.clone().unwrap_or_default();
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let containers = logs::of_pod(logs, pod);
    if containers.is_empty() {
        return Err(GatherError::ContainerMissing {
            source_name: source.name.clone(),
            pod: pod_name,
            container: logs.containers.join(" or "),
            present: pod
                .spec
                .iter()
                .flat_map(|s| &s.containers)
                .map(|c| c.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        });
    }
    let mut targets = Vec::new();
    for container in containers {
        let known = |kept: &&KeptLog| kept.pod_uid == pod_uid && kept.container == container.name;
        let kept = base.and_then(|base| base.containers.iter().find(known));
        if container.instances.is_empty() && kept.is_none() {
            // It never ran, so there is no log. One that ran, and of which the node knows nothing now, stays in the series.
            continue;
        }
        targets.push(Target {
            artifact: artifact(&source.name, &pod_name, &container.name, name::LOGS)?,
            source: source.name.clone(),
            namespace: namespace.to_owned(),
            pod: pod_name.clone(),
            pod_uid: pod_uid.clone(),
            image: container.image,
            content: Content::Logs(Box::new(logs::plan(logs, base, kept, container.instances, created))),
            container: container.name,
        });
    }
    Ok(targets)
}

/// A container of a deleted pod: an artifact without a line whose claim says what is lost, or, if a new pod has the
/// name, a gap before that one's lines.
fn lose(
    targets: &mut Vec<Target>,
    base: Option<&Base>,
    kept: &KeptLog,
    namespace: &str,
    now: Timestamp,
) -> Result<(), GatherError> {
    let Some(plan) = base.and_then(|base| Plan::of_deleted(base, kept, now)) else { return Ok(()) };
    let artifact = artifact(&kept.source, &kept.pod, &kept.container, name::LOGS)?;
    if let Some(Target { content: Content::Logs(successor), .. }) =
        targets.iter_mut().find(|target| target.artifact == artifact)
    {
        let until = successor.began().unwrap_or(now);
        successor.lost_with_pod(kept, until);
        return Ok(());
    }
    targets.push(Target {
        artifact,
        source: kept.source.clone(),
        namespace: namespace.to_owned(),
        pod: kept.pod.clone(),
        pod_uid: kept.pod_uid.clone(),
        container: kept.container.clone(),
        image: String::new(),
        content: Content::Logs(Box::new(plan)),
    });
    Ok(())
}

fn artifact(source: &str, pod: &str, container: &str, suffix: &str) -> Result<ArtifactName, GatherError> {
    name::artifact(source, pod, container, suffix).map_err(|error| GatherError::Failed {
        pod: pod.to_owned(),
        container: container.to_owned(),
        message: error.to_string(),
    })
}

/// The container that the source names, or the pod's default one, or its first.
fn container(
    source: &Source,
    FilesSource { container, .. }: &FilesSource,
    pod_name: &str,
    pod: &Pod,
) -> Result<String, GatherError> {
    let present: Vec<&str> =
        pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.as_str()).collect();
    let default =
        pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CONTAINER));
    let wanted = container.as_ref().or(default).map(String::as_str).or_else(|| present.first().copied());
    match wanted {
        Some(wanted) if present.contains(&wanted) => Ok(wanted.to_owned()),
        wanted => Err(GatherError::ContainerMissing {
            source_name: source.name.clone(),
            pod: pod_name.to_owned(),
            container: wanted.unwrap_or("(any)").to_owned(),
            present: present.join(", "),
        }),
    }
}

fn image(pod: &Pod, container: &str) -> String {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter(|status| status.name == container)
        .map(|status| if status.image_id.is_empty() { status.image.clone() } else { status.image_id.clone() })
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;

    fn source(container: Option<&str>) -> Source {
        serde_json::from_value(json!({ "name": "etc", "files": {
            "selector": { "matchLabels": { "app": "web" } }, "container": container, "paths": ["/etc"] } }))
        .unwrap()
    }

    fn pod(phase: &str, annotations: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web-0", "uid": "u", "annotations": annotations },
            "spec": { "containers": [{ "name": "first" }, { "name": "second" }] },
            "status": { "phase": phase, "containerStatuses": [{ "name": "second", "image": "i", "imageID": "i@sha256:1",
                "ready": true, "restartCount": 0 }] }
        }))
        .unwrap()
    }

    fn in_pod(source: &Source, pod: &Pod) -> Result<Option<Target>, GatherError> {
        let SourceKind::Files(files) = &source.kind else { panic!("a source of files") };
        target(source, files, "ns", pod)
    }

    #[test]
    fn the_named_then_the_default_then_the_first_container_is_taken() {
        let default = json!({ DEFAULT_CONTAINER: "second" });
        let name = |source: &Source, pod: &Pod| in_pod(source, pod).unwrap().unwrap().container;
        assert_eq!(name(&source(Some("second")), &pod("Running", &json!({}))), "second");
        assert_eq!(name(&source(None), &pod("Running", &default)), "second");
        assert_eq!(name(&source(None), &pod("Running", &json!({}))), "first");
    }

    #[test]
    fn a_missing_container_is_named_with_those_that_there_are() {
        let error = in_pod(&source(Some("third")), &pod("Running", &json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "source etc: pod web-0 has no container third; it has first, second");
    }

    #[test]
    fn an_ended_pod_is_left_out_and_a_pending_one_is_a_failure() {
        assert_eq!(in_pod(&source(None), &pod("Succeeded", &json!({}))), Ok(None));
        assert!(matches!(
            in_pod(&source(None), &pod("Pending", &json!({}))),
            Err(GatherError::NotRunning { .. })
        ));
    }

    #[test]
    fn the_images_digest_is_claimed() {
        let target = in_pod(&source(Some("second")), &pod("Running", &json!({}))).unwrap().unwrap();
        assert_eq!(
            (target.image.as_str(), target.artifact.as_str()),
            ("i@sha256:1", "etc.web-0.second.tar.zst")
        );
    }
}
