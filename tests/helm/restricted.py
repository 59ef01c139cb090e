"""The Pod Security Standard "restricted" (with "baseline" in it), and what orcha adds to it, as sentences about a Pod.

Written from the standard's page in Kubernetes' documentation, control by control; it is the same as what the admission of
a namespace with `pod-security.kubernetes.io/enforce: restricted` asks, and works without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
GROUPS = ("initContainers", "containers", "ephemeralContainers")
HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")
Spec = Mapping[str, Any]


def breaches(pod: Spec) -> list[str]:
    """What "restricted" would refuse in a Pod or a Pod's template."""
    spec = pod["spec"]
    found = [*_of_pod(spec), *_of_apparmor(pod)]
    for group in GROUPS:
        for container in spec.get(group) or ():
            found += [f"{container['name']}: {each}" for each in _of_container(container, _context(spec))]
    return found


def lapses(pod: Spec) -> list[str]:
    """What orcha asks beyond the standard: numeric users, a root that is read-only, requests and limits of all three."""
    found = []
    for group in GROUPS[:2]:
        for each in pod["spec"].get(group) or ():
            found += [f"{each['name']}: {lapse}" for lapse in _lapses(each, _context(pod["spec"]))]
    return found


def _context(thing: Spec) -> Spec:
    return thing.get("securityContext") or {}


def _of_pod(spec: Spec) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is on"
    context = _context(spec)
    for each in context.get("sysctls") or ():
        if each["name"] not in SYSCTLS:
            yield f"the sysctl {each['name']} is not safe"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    yield from _of_options(context)
    for volume in spec.get("volumes") or ():
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"the volume {volume['name']} is of the kind {', '.join(sorted(kinds - VOLUMES))}"


def _of_apparmor(pod: Spec) -> Iterator[str]:
    for key, value in ((pod.get("metadata") or {}).get("annotations") or {}).items():
        mine = key.startswith("container.apparmor.security.beta.kubernetes.io/")
        if mine and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"AppArmor's profile is {value}"


def _of_options(context: Spec) -> Iterator[str]:
    """What Pods and containers have in common."""
    options = context.get("seLinuxOptions") or {}
    if options.get("type", "") not in SELINUX or options.get("user") or options.get("role"):
        yield f"SELinux' options are {options}"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess is on"
    profile = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if profile not in PROFILES:
        yield f"AppArmor's profile is {profile}"


def _of_container(container: Spec, pod: Spec) -> Iterator[str]:
    context = _context(container)
    yield from _of_options(context)
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount is {context['procMount']}"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    yield from _of_user(context, pod)
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities.drop has no ALL"
    if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"capabilities.add is {capabilities['add']}"
    yield from _of_ports(container)


def _of_user(context: Spec, pod: Spec) -> Iterator[str]:
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    profile = (context.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
    if profile not in PROFILES:
        yield f"seccompProfile is {profile}"


def _of_ports(container: Spec) -> Iterator[str]:
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"it takes the port {port['hostPort']} of its host"
    handlers = [container.get(name) or {} for name in HANDLERS]
    handlers += [(container.get("lifecycle") or {}).get(name) or {} for name in ("postStart", "preStop")]
    for handler in handlers:
        for name in ("httpGet", "tcpSocket"):
            if (handler.get(name) or {}).get("host"):
                yield f"a probe goes to the host {handler[name]['host']}"


def _lapses(container: Spec, pod: Spec) -> Iterator[str]:
    context = _context(container)
    user = context.get("runAsUser", pod.get("runAsUser"))
    if not isinstance(user, int) or user == 0:
        yield f"runAsUser is {user}, and no number above 0"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    for kind in ("requests", "limits"):
        has = set((container.get("resources") or {}).get(kind) or ())
        wanted = {"memory", "ephemeral-storage"} | ({"cpu"} if kind == "requests" else set())
        if not wanted <= has:
            yield f"{kind} lack {', '.join(sorted(wanted - has))}"
