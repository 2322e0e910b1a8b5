//! From a source to the pods and containers that it means, as they are now.

use drawbridge_protocol::ArtifactName;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::{Api, api::ListParams, core::Selector as LabelExpressions};

use super::{GatherError, Gatherer, name, token};
use crate::api::{FilesSource, Source};

/// `kubectl` reads it to choose a container, so users expect it.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Pods are listed in pages of this size, so that a namespace of thousands costs no memory to speak of.
const PAGE: u32 = 200;

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
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
}

impl Gatherer {
    /// What `sources` mean now. None of them may mean nothing.
    pub async fn select(&self, sources: &[Source]) -> Result<Vec<Target>, GatherError> {
        let mut targets = Vec::new();
        for source in sources {
            let pods = self.pods(source).await?;
            let found = targets.len();
            for pod in &pods {
                targets.extend(target(source, self.namespace(), pod)?);
            }
            if targets.len() == found {
                return Err(GatherError::NoPods {
                    source_name: source.name.clone(),
                    namespace: self.namespace().to_owned(),
                    selector: source.files.selector.to_string(),
                });
            }
        }
        Ok(targets)
    }

    async fn pods(&self, source: &Source) -> Result<Vec<Pod>, GatherError> {
        let namespace = self.namespace();
        let selector =
            LabelExpressions::try_from(LabelSelector::from(&source.files.selector)).map_err(|error| {
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
fn target(source: &Source, namespace: &str, pod: &Pod) -> Result<Option<Target>, GatherError> {
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
    if pod.metadata.deletion_timestamp.is_some() || matches!(phase, "Succeeded" | "Failed") {
        return Ok(None);
    }
    let container = container(source, &pod_name, pod)?;
    if phase != "Running" {
        let (source_name, phase) = (source.name.clone(), phase.to_owned());
        return Err(GatherError::NotRunning { source_name, pod: pod_name, phase });
    }
    let artifact =
        name::artifact(&source.name, &pod_name, &container).map_err(|error| GatherError::Failed {
            pod: pod_name.clone(),
            container: container.clone(),
            message: error.to_string(),
        })?;
    Ok(Some(Target {
        artifact,
        source: source.name.clone(),
        namespace: namespace.to_owned(),
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        image: image(pod, &container),
        pod: pod_name,
        container,
        paths: source.files.paths.clone(),
        exclude: source.files.exclude.clone(),
    }))
}

/// The container that the source names, or the pod's default one, or its first.
fn container(source: &Source, pod_name: &str, pod: &Pod) -> Result<String, GatherError> {
    let FilesSource { container, .. } = &source.files;
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

    #[test]
    fn the_named_then_the_default_then_the_first_container_is_taken() {
        let default = json!({ DEFAULT_CONTAINER: "second" });
        let name = |source: &Source, pod: &Pod| target(source, "ns", pod).unwrap().unwrap().container;
        assert_eq!(name(&source(Some("second")), &pod("Running", &json!({}))), "second");
        assert_eq!(name(&source(None), &pod("Running", &default)), "second");
        assert_eq!(name(&source(None), &pod("Running", &json!({}))), "first");
    }

    #[test]
    fn a_missing_container_is_named_with_those_that_there_are() {
        let error = target(&source(Some("third")), "ns", &pod("Running", &json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "source etc: pod web-0 has no container third; it has first, second");
    }

    #[test]
    fn an_ended_pod_is_left_out_and_a_pending_one_is_a_failure() {
        assert_eq!(target(&source(None), "ns", &pod("Succeeded", &json!({}))), Ok(None));
        assert!(matches!(
            target(&source(None), "ns", &pod("Pending", &json!({}))),
            Err(GatherError::NotRunning { .. })
        ));
    }

    #[test]
    fn the_images_digest_is_claimed() {
        let target = target(&source(Some("second")), "ns", &pod("Running", &json!({}))).unwrap().unwrap();
        assert_eq!(
            (target.image.as_str(), target.artifact.as_str()),
            ("i@sha256:1", "etc.web-0.second.tar.zst")
        );
    }
}
