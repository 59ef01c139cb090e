"""The shapes of the chart's values that their defaults do not tell: names, ports, quantities, lists, what is Kubernetes' own."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

ANYTHING: Final[Schema] = {"type": "object"}
"""A shape of Kubernetes' own, which its API server judges."""
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS: Final[Schema] = {"type": "array", "items": ANYTHING}
WORDS: Final[Schema] = {"type": "array", "items": {"type": "string"}}
PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
PORTS: Final[Schema] = {"type": "array", "items": PORT, "minItems": 1}
POSITIVE: Final[Schema] = {"type": "integer", "minimum": 1}
_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_WORD: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY: Final = rf"^([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_WORD}$"


def text(pattern: str, **more: Any) -> Schema:
    """Text of which a pattern is all."""
    return {"type": "string", "pattern": f"^({pattern})$", **more}


NAME: Final = text(_SUBDOMAIN)
NAME_OR_NONE: Final = text(f"({_SUBDOMAIN})?")
NAMESPACE: Final = text(_LABEL)
NAMESPACE_OR_NONE: Final = text(f"({_LABEL})?")
LABELS: Final[Schema] = {
    "type": "object",
    "propertyNames": {"pattern": _KEY},
    "additionalProperties": text(f"({_WORD})?"),
}
ANNOTATIONS: Final[Schema] = {**TEXTS, "propertyNames": {"pattern": _KEY}}
QUANTITY: Final[Schema] = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$",
}
QUANTITIES: Final[Schema] = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"requests": QUANTITIES, "limits": QUANTITIES, "claims": OBJECTS},
}
_TO_65535: Final = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
LISTEN: Final = text(rf"(\[[0-9a-fA-F:.]*\]|[A-Za-z0-9.-]*):({_TO_65535})")
DIGEST: Final = text("(sha256:[0-9a-f]{64})?")
TAG: Final = text(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?")
REPOSITORY: Final = text(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*")
SCRAPE: Final = text("([0-9]+(ms|s|m|h))*")
DURATION: Final = text(r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+")
SECRET_KEY: Final = text("[-._a-zA-Z0-9]+")
SECRET_KEY_OR_NONE: Final = text("[-._a-zA-Z0-9]*")
BUDGET: Final[Schema] = {"type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]+%)?$"}


def choice(*words: str | bool) -> Schema:
    return {"enum": list(words)}


def closed(required: tuple[str, ...], **properties: Schema) -> Schema:
    """An object with these keys and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": list(required)} if required else {}),
    }


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


ACCESS_MODES: Final = listed(choice("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"))
STORAGE_CLASS: Final = text(f"-|({_SUBDOMAIN})?")
SECRET: Final = closed(("name",), name=NAME, optional={"type": "boolean"})
TARGET: Final = closed(
    ("kind", "namespace", "name"),
    kind=choice("StatefulSet", "Deployment", "Pod"),
    namespace=NAMESPACE,
    name=NAME,
    replicas=POSITIVE,
    resize={"type": "boolean"},
)

BY_LAST_KEY: Final[dict[str, Schema]] = {
    "affinity": ANYTHING,
    "annotations": ANNOTATIONS,
    "commonAnnotations": ANNOTATIONS,
    "commonLabels": LABELS,
    "digest": DIGEST,
    "extraArgs": WORDS,
    "extraContainers": OBJECTS,
    "extraEnv": OBJECTS,
    "extraEnvFrom": OBJECTS,
    "extraVolumeMounts": OBJECTS,
    "extraVolumes": OBJECTS,
    "from": OBJECTS,
    "initContainers": OBJECTS,
    "interval": SCRAPE,
    "labels": LABELS,
    "listen": LISTEN,
    "livenessProbe": ANYTHING,
    "logFormat": choice("json", "console"),
    "metricRelabelings": OBJECTS,
    "namespace": NAMESPACE_OR_NONE,
    "nodeSelector": LABELS,
    "podAnnotations": ANNOTATIONS,
    "podLabels": LABELS,
    "podSecurityContext": ANYTHING,
    "ports": PORTS,
    "priorityClassName": NAME_OR_NONE,
    "pullPolicy": choice("IfNotPresent", "Always", "Never"),
    "readinessProbe": ANYTHING,
    "relabelings": OBJECTS,
    "replicas": POSITIVE,
    "repository": REPOSITORY,
    "resources": RESOURCES,
    "scrapeTimeout": SCRAPE,
    "securityContext": ANYTHING,
    "startupProbe": ANYTHING,
    "tag": TAG,
    "to": OBJECTS,
    "tolerations": OBJECTS,
    "topologySpreadConstraints": OBJECTS,
}
"""What a key means wherever it stands."""

BY_PATH: Final[dict[str, Schema]] = {
    "alertmanagerConfig.route": ANYTHING,
    "api.existingSecret.name": NAME_OR_NONE,
    "api.existingSecret.operateKey": SECRET_KEY_OR_NONE,
    "api.existingSecret.readKey": SECRET_KEY_OR_NONE,
    "dashboards.folderAnnotation": text(_KEY.strip("^$")),
    "exporter.files": WORDS,
    "exporter.kind": choice("none", "Deployment", "DaemonSet", "Sidecar"),
    "extraManifests": listed({"type": ["object", "string"]}),
    "fleet.name": NAME,
    "fleet.nats.existingSecret.caKey": SECRET_KEY_OR_NONE,
    "fleet.nats.existingSecret.credentialsKey": SECRET_KEY_OR_NONE,
    "fleet.nats.existingSecret.name": NAME_OR_NONE,
    "fleet.nats.existingSecret.tokenKey": SECRET_KEY_OR_NONE,
    "fleet.relays.persistence.accessModes": ACCESS_MODES,
    "fleet.relays.persistence.size": QUANTITY,
    "fleet.relays.persistence.storageClass": STORAGE_CLASS,
    "fleet.relays.podDisruptionBudget.maxUnavailable": BUDGET | {"pattern": "^[0-9]+%$"},
    "fleet.relays.port": PORT,
    "fleet.relays.replicas": {"type": "integer", "minimum": 0},
    "fleet.site": NAMESPACE_OR_NONE,
    "fullnameOverride": text("([a-z]([-a-z0-9]{0,38}[a-z0-9])?)?"),
    "global": ANYTHING,
    "imagePullSecrets": listed(closed(("name",), name=NAME)),
    "lease.duration": DURATION,
    "lease.name": NAME_OR_NONE,
    "manifests.existingConfigMap": NAME_OR_NONE,
    "manifests.gitSync.existingSecret": NAME_OR_NONE,
    "manifests.gitSync.period": SCRAPE,
    "manifests.gitSync.ref": text(r"[^\s~^:?*\[\\-][^\s~^:?*\[\\]*"),
    "manifests.gitSync.repository": {"type": "string"},
    "manifests.volume": ANYTHING,
    "nameOverride": text(f"({_LABEL})?"),
    "networkPolicy.egress.extra": OBJECTS,
    "networkPolicy.egress.nodes": listed(closed(("to", "ports"), to={**OBJECTS, "minItems": 1}, ports=PORTS)),
    "podDisruptionBudget.maxUnavailable": BUDGET,
    "podDisruptionBudget.minAvailable": BUDGET,
    "prometheusRule.disabledAlerts": WORDS,
    "rbac.extraRules": OBJECTS,
    "rbac.targets": listed(TARGET),
    "secrets": listed(SECRET),
    "service.exporterPort": PORT,
    "service.ipFamilyPolicy": choice("", "SingleStack", "PreferDualStack", "RequireDualStack"),
    "service.port": PORT,
    "service.type": choice("ClusterIP", "NodePort", "LoadBalancer"),
    "serviceAccount.automount": choice("auto", True, False),
    "serviceAccount.name": NAME_OR_NONE,
    "state.existingSecret.key": SECRET_KEY,
    "state.existingSecret.name": NAME_OR_NONE,
    "state.persistence.accessModes": ACCESS_MODES,
    "state.persistence.existingClaim": NAME_OR_NONE,
    "state.persistence.size": QUANTITY,
    "state.persistence.storageClass": STORAGE_CLASS,
}
"""What a value means at one place only."""
