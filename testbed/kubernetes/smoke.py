#!/usr/bin/env python3
"""Checks of a booted cluster, each by what it does: `smoke.py --run ID`. Every denial stands beside an allowed twin."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common import run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.made import Made  # noqa: E402
from testbed.common.shell import CommandFailed, run, succeeds, wait_until  # noqa: E402
from testbed.images.mkimage import Entry, Image, build  # noqa: E402
from testbed.kubernetes import binaries, cluster, containers  # noqa: E402
from testbed.kubernetes.api import Api  # noqa: E402
from testbed.kubernetes.layout import (  # noqa: E402
    API_SERVICE_ADDRESS,
    BUSYBOX_IMAGE,
    EGRESS_ADDRESS,
    Layout,
    netns_command,
)

NAMESPACE, RESTRICTED = "smoke", "smoke-restricted"
ODD_IMAGE = "drawbridge.test/odd:1"
ODD_NAME = b"two\nlines \xff.conf"
OUTSIDE_ADDRESS = "198.51.100.2"


class Smoke:
    """A cluster, and ways to ask it things."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.holder = cluster.holder_pid(layout)
        self.api = Api(layout)

    def kubectl(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """kubectl's standard output, as bytes."""
        command = [binaries.path("kubectl"), f"--kubeconfig={self.layout.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin if stdin is not None else b"", capture_output=True, timeout=90)
        if done.returncode != 0:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def refused(self, reason: str, *arguments: str, stdin: bytes | None = None) -> None:
        """Asserts that kubectl fails, and for this reason."""
        try:
            self.kubectl(*arguments, stdin=stdin)
        except CommandFailed as error:
            expect(reason in str(error), f"refused, but not with {reason!r}: {error}")
            return
        raise TestbedError(f"kubectl {' '.join(arguments)} was allowed")

    def execute(self, pod: str, *command: str, stdin: bytes | None = None) -> bytes:
        """Runs a command in a pod of the smoke namespace."""
        interactive = ["-i"] if stdin is not None else []
        return self.kubectl("-n", NAMESPACE, "exec", *interactive, pod, "--", *command, stdin=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        everything = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(everything).encode())

    def exists(self, path: str) -> bool:
        return self.api.get(path) is not None

    def ready(self, pod: str, namespace: str = NAMESPACE) -> None:
        self.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=40s", f"pod/{pod}")


def expect(truth: bool, otherwise: str) -> None:
    """An assertion that survives `python -O` and says what was found."""
    if not truth:
        raise TestbedError(otherwise)


def pod(
    name: str, command: list[str], namespace: str = NAMESPACE, image: str = BUSYBOX_IMAGE, **spec: Any
) -> dict[str, Any]:
    """A pod of one container; `container` among the keywords adds to the container, the rest to the pod's spec."""
    container = {"name": "main", "image": image, "command": command, **spec.pop("container", {})}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    settings = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": settings}


SLEEP = ["sleep", "100000"]


def pod_runs_and_exec_passes_streams_and_exit_code(smoke: Smoke) -> None:
    smoke.apply(pod("a", ["sh", "-c", "echo started; exec sleep 100000"]))
    smoke.ready("a")
    expect(smoke.execute("a", "echo", "hi") == b"hi\n", "exec's output is not the command's")
    smoke.execute("a", "sh", "-c", "cat > /data/in", stdin=b"through stdin")
    # By the exit code: an exec may lose the end of its output (docs/adr/0005).
    same = '[ "$(cat /data/in; echo .)" = "through stdin." ] || { echo "stdin did not arrive" >&2; exit 1; }'
    smoke.execute("a", "sh", "-c", same)
    smoke.refused("exit code 3", "-n", NAMESPACE, "exec", "a", "--", "sh", "-c", "exit 3")


def logs_are_read(smoke: Smoke) -> None:
    expect(smoke.kubectl("-n", NAMESPACE, "logs", "a") == b"started\n", "the pod's log is not what it wrote")


def tar_through_exec_is_whole(smoke: Smoke) -> None:
    smoke.execute("a", "sh", "-c", "head -c 20000000 /dev/urandom > /data/random")
    there = smoke.execute("a", "sha256sum", "/data/random").split()[0].decode()
    archive = smoke.execute("a", "tar", "cf", "-", "-C", "/data", "random")
    content = subprocess.run(["tar", "xOf", "-"], input=archive, capture_output=True, check=True).stdout
    expect(hashlib.sha256(content).hexdigest() == there, "the file in the tar stream differs")


def service_is_reached_by_name_and_address(smoke: Smoke) -> None:
    serve = "mkdir -p /tmp/www; echo served > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    smoke.apply(pod("web", ["sh", "-c", serve], container={"readinessProbe": probe}))
    smoke.kubectl("-n", NAMESPACE, "expose", "pod", "web", "--port=80", "--target-port=8080")
    smoke.ready("web")
    service = smoke.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/web") or {}
    address = service["spec"]["clusterIP"]
    wait_until(
        "the service's address answers in the node",
        lambda: succeeds(*netns_command(smoke.holder), "curl", "-sfm", "2", f"http://{address}/"),
        seconds=10,
    )
    for host in (address, "web", f"web.{NAMESPACE}.svc.cluster.local"):
        page = smoke.execute("a", "timeout", "5", "wget", "-qO-", f"http://{host}/")
        expect(page == b"served\n", f"http://{host}/ gave {page!r}")
    page = smoke.execute("web", "timeout", "5", "wget", "-qO-", f"http://{address}/")
    expect(page == b"served\n", "a pod does not reach itself through its service")


def restricted_namespace_admits_only_restricted_pods(smoke: Smoke) -> None:
    smoke.refused(
        'violates PodSecurity "restricted',
        *("apply", "-f", "-"),
        stdin=json.dumps(pod("root", SLEEP, namespace=RESTRICTED)).encode(),
    )
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    identity = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    smoke.apply(pod("r", SLEEP, RESTRICTED, container={"securityContext": security}, securityContext=identity))
    smoke.ready("r", RESTRICTED)
    status = smoke.kubectl("-n", RESTRICTED, "exec", "r", "--", "cat", "/proc/self/status").decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    found = (fields["Uid"].split()[0], fields["Seccomp"], fields["NoNewPrivs"], int(fields["CapEff"], 16))
    expect(found == ("1000", "2", "1", 0), f"uid, seccomp, no_new_privs, capabilities are {found}")


def admission_policy_denies_what_it_names(smoke: Smoke) -> None:
    name = "smoke.drawbridge.test"
    group = "admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    check = {"expression": "!('forbidden' in object.data)", "message": "no forbidden key"}
    match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    policy = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}, "validations": [check]}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": match}
    smoke.apply(
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": policy},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": bound},
    )
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

    def create(key: str) -> tuple[int, bytes]:
        body = {"metadata": {"generateName": "c-"}, "data": {key: "x"}}
        return smoke.api.request("POST", path, body)

    wait_until("the policy is in force", lambda: b"no forbidden key" in create("forbidden")[1], seconds=15)
    expect(create("allowed")[0] == 201, "an allowed ConfigMap was refused")


def minted_token_opens_its_own_namespace_only(smoke: Smoke) -> None:
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    smoke.api.post(accounts, {"metadata": {"name": "reader"}})
    bound = ("rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={NAMESPACE}:reader")
    smoke.kubectl("-n", NAMESPACE, "create", *bound)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = smoke.api.post(f"{accounts}/reader/token", request)["status"]["token"]
    config = smoke.layout.dir / "smoke.kubeconfig"
    content = json.loads(smoke.layout.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    config.write_text(json.dumps(content))
    mine = [binaries.path("kubectl"), f"--kubeconfig={config}"]
    expect("reader" in run(*mine, "auth", "whoami"), "the token is not the account's")
    wait_until("the token lists pods", lambda: succeeds(*mine, "-n", NAMESPACE, "get", "pods"), seconds=5)
    expect(not succeeds(*mine, "-n", RESTRICTED, "get", "pods"), "the token lists another namespace's pods")
    config.unlink()


def pod_reaches_the_api_with_its_own_token(smoke: Smoke) -> None:
    token = "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"
    fetch = f'timeout 5 wget --no-check-certificate --header "Authorization: Bearer {token}" -qO- '
    answer = smoke.execute("a", "sh", "-c", f"{fetch} https://{API_SERVICE_ADDRESS}/version")
    expect(b"v1.34" in answer, f"the API server's version is {answer!r}")


def memory_limit_kills(smoke: Smoke) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    hungry = ["sh", "-c", "tail -c 500m /dev/zero"]
    smoke.apply(pod("hungry", hungry, restartPolicy="Never", container={"resources": limits}))
    # containerd 1.6 reports the reason OOMKilled most times only; the exit code is always right.
    ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=137"
    smoke.kubectl("-n", NAMESPACE, "wait", ended, "--timeout=40s", "pod/hungry")


def image_keeps_owners_and_odd_names(smoke: Smoke) -> None:
    archive = smoke.layout.images / "odd.tar"
    entries = [
        Entry(b"bin", "directory", mode=0o755),
        Entry(b"bin/busybox", content=containers.busybox(), mode=0o755),
        Entry(b"bin/sh", "symlink", target=b"busybox"),
        Entry(ODD_NAME, content=b"odd", mode=0o640, uid=1234, gid=5678),
    ]
    digests = {build(Image(ODD_IMAGE), entries, archive) for _ in range(2)}
    expect(len(digests) == 1, "the same input gave different images")
    containers.load_image(smoke.layout, archive)
    smoke.apply(pod("odd", ["/bin/busybox", *SLEEP], image=ODD_IMAGE))
    smoke.ready("odd")
    script = 'for f in /two*; do busybox stat -c "%u:%g %a" "$f"; busybox cat "$f"; printf "|%s" "$f"; done'
    found = smoke.execute("odd", "/bin/sh", "-c", script)
    expect(found == b"1234:5678 640\nodd|/" + ODD_NAME, f"the file is {found!r}")


def pod_leaves_with_the_egress_address(smoke: Smoke) -> None:
    with ExitStack() as stack:
        if not succeeds(*netns_command(smoke.holder), "ip", "link", "show", "ext0"):
            _stand_in_for_the_internet(smoke, stack)
            seen = smoke.execute("a", "timeout", "5", "wget", "-qO-", f"http://{OUTSIDE_ADDRESS}:4566/cgi-bin/who")
            expect(seen.strip() == EGRESS_ADDRESS.encode(), f"the server saw {seen!r}, not {EGRESS_ADDRESS}")
        else:
            # The local AWS is there: any answer, be it a refusal of plain HTTP, shows that the pod reached it.
            get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc s3.drawbridge.test 80"
            seen = smoke.execute("a", "sh", "-c", get)
            expect(seen.startswith(b"HTTP/1."), f"the local S3 answered {seen!r}")


def _stand_in_for_the_internet(smoke: Smoke, stack: ExitStack) -> None:
    """A namespace with a web server that tells callers their address, in place of the local AWS's router."""
    name = f"dbk{smoke.layout.run.index}-out"
    Made(smoke.layout.dir).note("netns", name)
    run("ip", "netns", "add", name)
    stack.callback(run, "ip", "netns", "delete", name)
    in_net = netns_command(smoke.holder)
    peer = ("peer", "name", "node", "netns", name)
    run("ip", "link", "add", "ext0", "netns", str(smoke.holder), "type", "veth", *peer)
    run(*in_net, "ip", "address", "add", f"{EGRESS_ADDRESS}/24", "dev", "ext0")
    run(*in_net, "ip", "link", "set", "ext0", "up")
    for command in ("address add 203.0.113.1/24 dev node", "link set node up", "link set lo up"):
        run("ip", "-n", name, *command.split())
    run("ip", "-n", name, "address", "add", f"{OUTSIDE_ADDRESS}/32", "dev", "lo")
    run(*in_net, "ip", "route", "add", "198.51.100.0/24", "via", "203.0.113.1")
    site = smoke.layout.dir / "smoke-site"
    script = site / "cgi-bin" / "who"
    script.parent.mkdir(parents=True)
    script.write_text('#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s" "${REMOTE_ADDR#::ffff:}"\n')
    script.chmod(0o755)
    daemons = cluster.daemons_of(smoke.layout)
    serve = ["busybox", "httpd", "-f", "-p", f"{OUTSIDE_ADDRESS}:4566", "-h", str(site)]
    daemons.start("smoke-site", serve, inside=["ip", "netns", "exec", name])
    stack.callback(daemons.stop, "smoke-site")
    wait_until(
        "the web server outside answers",
        lambda: succeeds(*in_net, "curl", "-sfm", "1", f"http://{OUTSIDE_ADDRESS}:4566/cgi-bin/who"),
        seconds=5,
    )


def audit_log_names_who_ran_what(smoke: Smoke) -> None:
    def has_exec() -> bool:
        for line in smoke.layout.audit_log.read_text().splitlines():
            event = json.loads(line)
            target = event.get("objectRef", {})
            if target.get("subresource") == "exec" and target.get("name") == "a":
                return bool(event["user"]["username"] == "admin")
        return False

    wait_until("the audit log has the exec", has_exec, seconds=10)


def host_sees_no_mount_of_the_node(smoke: Smoke) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    for place in (str(smoke.layout.dir), "/var/lib/kubelet", "/run/containerd"):
        expect(f" {place}" not in mounts, f"a mount at {place} is visible on the host")


def apiserver_comes_back_with_its_state(smoke: Smoke) -> None:
    before = cluster.daemons_of(smoke.layout).pid("kube-apiserver")
    cluster.restart_apiserver(smoke.layout.run.id)
    expect(cluster.daemons_of(smoke.layout).pid("kube-apiserver") != before, "the same process still runs")
    expect(smoke.execute("a", "echo", "hi") == b"hi\n", "exec does not work after the restart")


CHECKS: list[Callable[[Smoke], None]] = [
    pod_runs_and_exec_passes_streams_and_exit_code,
    logs_are_read,
    tar_through_exec_is_whole,
    service_is_reached_by_name_and_address,
    restricted_namespace_admits_only_restricted_pods,
    admission_policy_denies_what_it_names,
    minted_token_opens_its_own_namespace_only,
    pod_reaches_the_api_with_its_own_token,
    memory_limit_kills,
    image_keeps_owners_and_odd_names,
    pod_leaves_with_the_egress_address,
    audit_log_names_who_ran_what,
    host_sees_no_mount_of_the_node,
    apiserver_comes_back_with_its_state,
]


def prepare(smoke: Smoke) -> None:
    """Two namespaces, one of them restricted, whose default accounts exist."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    for name, labels in ((NAMESPACE, {}), (RESTRICTED, level)):
        smoke.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(f"the default account of {name}", partial(smoke.exists, account), seconds=20)


def tidy(smoke: Smoke) -> None:
    """Removes all that the checks made, and asserts that the namespaces can end."""
    policy = "smoke.drawbridge.test"
    kinds = ("validatingadmissionpolicybinding", "validatingadmissionpolicy")
    smoke.kubectl("delete", "--ignore-not-found", *(f"{kind}/{policy}" for kind in kinds))
    smoke.kubectl("delete", "--ignore-not-found", "--timeout=60s", "namespace", NAMESPACE, RESTRICTED)


def main() -> int:
    """Runs every check; one that fails does not keep the others from running."""
    parser = argparse.ArgumentParser(prog="smoke.py", description="checks of a booted cluster")
    parser.add_argument("--run", required=True, metavar="ID")
    smoke = Smoke(Layout(runs.load(parser.parse_args().run)))
    prepare(smoke)
    failed = 0
    for check in [*CHECKS, tidy]:
        began = time.monotonic()
        try:
            check(smoke)
            print(f"pass {check.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except (TestbedError, OSError, subprocess.SubprocessError, http.client.HTTPException) as error:
            failed += 1
            print(f"FAIL {check.__name__}: {error}", flush=True)
    print(f"{len(CHECKS) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.pop("KUBECONFIG", None)
    main_wrapper("smoke.py", main)
