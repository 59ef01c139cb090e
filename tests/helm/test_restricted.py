"""restricted.py: a Pod that is fine is fine, and every single way out of the standard is seen."""

from __future__ import annotations

import copy

import pytest

from tests.helm.restricted import breaches, lapses

SIZE = {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": "10Mi"}
FINE = {
    "metadata": {"annotations": {"any": "thing"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "config", "configMap": {"name": "x"}}],
        "initContainers": [],
        "containers": [
            {
                "name": "one",
                "resources": {"requests": SIZE, "limits": SIZE},
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
            }
        ],
    },
}
POD = {
    "hostNetwork is on": ("hostNetwork", True),
    "hostPID is on": ("hostPID", True),
    "hostIPC is on": ("hostIPC", True),
    "the volume a is of the kind hostPath": ("volumes", [{"name": "a", "hostPath": {"path": "/"}}]),
    "the volume a is of the kind nfs": ("volumes", [{"name": "a", "nfs": {"path": "/"}}]),
    "the sysctl kernel.msgmax is not safe": ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "runAsUser is 0": ("securityContext.runAsUser", 0),
    "one: runAsNonRoot is not true": ("securityContext.runAsNonRoot", None),
    "one: seccompProfile is None": ("securityContext.seccompProfile", None),
    "one: seccompProfile is Unconfined": ("securityContext.seccompProfile", {"type": "Unconfined"}),
    "hostProcess is on": ("securityContext.windowsOptions", {"hostProcess": True}),
    "SELinux' options are {'type': 'spc_t'}": ("securityContext.seLinuxOptions", {"type": "spc_t"}),
    "SELinux' options are {'role': 'r'}": ("securityContext.seLinuxOptions", {"role": "r"}),
    "AppArmor's profile is Unconfined": ("securityContext.appArmorProfile", {"type": "Unconfined"}),
}
BOX = {
    "one: it is privileged": ("securityContext.privileged", True),
    "one: procMount is Unmasked": ("securityContext.procMount", "Unmasked"),
    "one: allowPrivilegeEscalation is not false": ("securityContext.allowPrivilegeEscalation", None),
    "one: capabilities.drop has no ALL": ("securityContext.capabilities", {"drop": ["NET_RAW"]}),
    "one: capabilities.add is ['SYS_ADMIN']": (
        "securityContext.capabilities",
        {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
    ),
    "one: runAsNonRoot is not true": ("securityContext.runAsNonRoot", False),
    "one: runAsUser is 0": ("securityContext.runAsUser", 0),
    "one: seccompProfile is Unconfined": ("securityContext.seccompProfile", {"type": "Unconfined"}),
    "one: it takes the port 80 of its host": ("ports", [{"containerPort": 80, "hostPort": 80}]),
    "one: a probe goes to the host 1.1.1.1": ("readinessProbe", {"httpGet": {"host": "1.1.1.1", "port": 80}}),
}
ORCHA = {
    "one: runAsUser is 0, and no number above 0": ("securityContext.runAsUser", 0),
    "one: readOnlyRootFilesystem is not true": ("securityContext.readOnlyRootFilesystem", None),
    "one: limits lack ephemeral-storage, memory": ("resources.limits", {"cpu": "1"}),
    "one: requests lack cpu": ("resources.requests", {"memory": "1", "ephemeral-storage": "1"}),
}


def changed(path: str, value: object, *, box: str = "") -> dict:
    """The fine Pod with one field changed; None takes it away. `box`: in the container, in this group."""
    pod = copy.deepcopy(FINE)
    spec = pod["spec"]
    place = spec
    if box:
        place = copy.deepcopy(spec["containers"][0])
        spec[box] = [place]
    *way, last = path.split(".")
    for key in way:
        place = place.setdefault(key, {})
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return pod


def test_a_pod_that_is_fine_is_fine():
    assert breaches(FINE) == []
    assert lapses(FINE) == []


@pytest.mark.parametrize("said", sorted(POD))
def test_what_the_pod_asks_too_much_is_seen(said):
    assert breaches(changed(*POD[said])) == [said]


@pytest.mark.parametrize("group", ["containers", "ephemeralContainers", "initContainers"])
@pytest.mark.parametrize("said", sorted(BOX))
def test_what_any_kind_of_container_asks_too_much_is_seen(said, group):
    assert breaches(changed(*BOX[said], box=group)) == [said]


def test_a_profile_that_is_named_by_annotation_is_seen():
    pod = copy.deepcopy(FINE)
    pod["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/one"] = "unconfined"
    assert breaches(pod) == ["AppArmor's profile is unconfined"]


@pytest.mark.parametrize("group", ["containers", "initContainers"])
@pytest.mark.parametrize("said", sorted(ORCHA))
def test_what_orcha_asks_beyond_the_standard_is_seen(said, group):
    assert lapses(changed(*ORCHA[said], box=group)) == [said]
