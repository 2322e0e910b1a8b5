//! Pods worth backing up, and the account that may gather from them.

use serde_json::json;

use crate::bed::Bed;

pub(crate) struct Workload {
    pub(crate) namespace: String,
}

impl Workload {
    /// A namespace of its own with `replicas` pods of `mebibytes` of random data and a few small files each.
    pub(crate) fn start(bed: &Bed, namespace: &str, replicas: u32, mebibytes: u32) -> Self {
        let script = format!(
            "mkdir -p /data/etc && echo {namespace} > /data/etc/name && \
             dd if=/dev/urandom of=/data/blob bs=1M count={mebibytes} 2>/dev/null && touch /data/done && exec sleep 86400"
        );
        let labels = json!({"app": namespace});
        let account = "drawbridge-gatherer";
        let rbac = "rbac.authorization.k8s.io";
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
                "labels": {"drawbridge.dev/backups": "allowed"}}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}},
            {"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": account, "namespace": namespace}, "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}]},
            {"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": account, "namespace": namespace},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": namespace}, "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "app", "image": "drawbridge.test/busybox:1", "command": ["sh", "-c", script],
                        "startupProbe": {"exec": {"command": ["test", "-e", "/data/done"]}, "periodSeconds": 1, "failureThreshold": 120},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                    "volumes": [{"name": "data", "emptyDir": {}}]}}}},
        ]});
        bed.apply(&objects).unwrap();
        bed.kubectl(&["rollout", "status", "-n", namespace, "deployment/app", "--timeout=120s"]).unwrap();
        Self { namespace: namespace.to_owned() }
    }
}
