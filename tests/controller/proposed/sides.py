"""Sets of manifests for tests of what differs between two."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from controller.commands.proposal import Read, _documents
from controller.manifests import load
from exporters.collector import discover

NODE = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1, labels: {site: attic}}
spec:
  capacity: {cpu: "12", memory: 48Gi, storage: 16Ti, bandwidth: 400M}
  workloads:
    storj:
      protocol: storj
      endpoint: http://127.0.0.1:14002
      allocation: {resource: storage, min: 1Ti, max: 12Ti, step: 128Gi, with: {bandwidth: 2M}, reserve: [bandwidth]}
      actuator: {command: {argv: [resize, "{storage:TB}"]}}
    golem:
      protocol: golem
      endpoint: http://127.0.0.1:7465
      credentials: {appKeyFile: /etc/orcha/secrets/yagna-app-key}
      allocation: {resource: cpu, min: "2", max: "10", step: "1"}
      actuator: {command: {argv: [ya-provider, "{cpu}"]}}
    grass:
      protocol: grass
      endpoint: https://api.getgrass.io
      credentials: {accessTokenFile: /etc/orcha/secrets/grass-token}
"""
POLICY = """\
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: default}
spec:
  mode: Auto
  limits:
    hold: 1h
    freezeWindows: [{cron: "0 18 * * 1-5", duration: 3h}, {cron: "0 4 * * *", duration: 30m}]
  constraints: [{protocol: golem, maxShare: 0.6}]
"""
SETTINGS = """\
apiVersion: orcha.dev/v1alpha1
kind: Settings
spec: {retention: 30d, api: {tokenFiles: {read: /run/read, operate: /run/operate}}}
"""
FLEET = """\
apiVersion: orcha.dev/v1alpha1
kind: Fleet
metadata: {name: home}
spec:
  sites: [attic, cellar, office]
  nats: {servers: ["nats://127.0.0.1:4222"]}
  limits: [{name: cores, protocol: golem, resource: cpu, maxTotal: 24}, {name: rooms, protocol: storj, resource: storage, minTotal: 4Ti}]
"""
BASE: Mapping[str, str] = {"node": NODE, "policy": POLICY, "settings": SETTINGS, "fleet": FLEET}


def with_edits(text: str, edits: Mapping[str, object]) -> str:
    """A document with fields set by their path; None takes one out."""
    document = yaml.safe_load(text)
    for path, value in edits.items():
        *parts, last = path.split(".")
        here = document
        for part in parts:
            here = here.setdefault(part, {})
        if value is None:
            here.pop(last)
        else:
            here[last] = value
    return yaml.safe_dump(document)


def side(where, texts: Mapping[str, str]):
    """The set as plan --diff reads it."""
    where.mkdir(exist_ok=True)
    for name, text in texts.items():
        (where / f"{name}.yaml").write_text(text)
    found = load([where], discover())
    assert found.problems == ()
    return Read(where.name, found, dict(_documents([where]))).side()
