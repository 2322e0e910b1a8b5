//! Pods that lack something, each in a namespace of its own.

use serde_json::{Value, json};

use crate::bed::Bed;

const ACCOUNT: &str = "drawbridge-gatherer";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// What a gatherer needs, and what a test may leave out.
pub(crate) const LIST: Right = ("pods", &["get", "list"]);
pub(crate) const EXEC: Right = ("pods/exec", &["get", "create"]);

type Right = (&'static str, &'static [&'static str]);

/// A namespace with one ready pod, `app` its label.
pub(crate) struct Place<'a> {
    bed: &'a Bed,
    pub(crate) namespace: String,
}

impl<'a> Place<'a> {
    /// A namespace with a gatherer that may do everything that it needs.
    pub(crate) fn new(bed: &'a Bed, namespace: &str) -> Self {
        let place = Self::without_gatherer(bed, namespace);
        place.gatherer(&[LIST, EXEC]);
        place
    }

    pub(crate) fn without_gatherer(bed: &'a Bed, namespace: &str) -> Self {
        let labels = json!({"drawbridge.dev/backups": "allowed"});
        bed.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}))
            .unwrap();
        Self { bed, namespace: namespace.to_owned() }
    }

    /// The account, bound to exactly these rights.
    pub(crate) fn gatherer(&self, rights: &[Right]) {
        let rules: Vec<Value> = rights
            .iter()
            .map(|(resource, verbs)| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs}))
            .collect();
        let metadata = json!({"name": ACCOUNT, "namespace": self.namespace});
        self.bed
            .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
                {"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules},
                {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": metadata,
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
                    "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}]}]}))
            .unwrap();
    }

    /// A pod whose script makes its data and then sleeps.
    pub(crate) fn pod(&self, name: &str, script: &str) {
        let script = format!("{script}; touch /tmp/done; exec sleep 86400");
        self.start(
            name,
            &json!({"name": "app", "image": "drawbridge.test/busybox:1", "command": ["sh", "-c", script],
                "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1, "failureThreshold": 120}}),
        );
    }

    /// A pod with this container, waited for.
    pub(crate) fn start(&self, name: &str, container: &Value) {
        self.create(name, container);
        let target = format!("pod/{name}");
        self.bed
            .kubectl(&["wait", "-n", &self.namespace, "--for=condition=Ready", &target, "--timeout=60s"])
            .unwrap();
    }

    /// A pod with this container, whatever becomes of it.
    pub(crate) fn create(&self, name: &str, container: &Value) {
        self.bed
            .apply(&json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": self.namespace, "labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}))
            .unwrap();
    }
}

/// Some files, less than a part in all: one PutObject.
pub(crate) const SMALL: &str = "mkdir -p /data && echo settings > /data/config";
/// Two parts that do not compress: a multipart upload.
pub(crate) const PARTS: &str =
    "mkdir -p /data && dd if=/dev/urandom of=/data/blob bs=1M count=12 2>/dev/null";
/// Long enough under way to be met in mid-stream: ten seconds and more, where asking EC2 or the API server takes two.
pub(crate) const LONG: &str =
    "mkdir -p /data && dd if=/dev/urandom of=/data/blob bs=1M count=1024 2>/dev/null";
