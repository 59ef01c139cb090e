"""A Pod's volumes as a kubelet lays them out: files of a ConfigMap or Secret behind a link that is swapped as a whole."""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Api, Manifest, Refused

LIFE = 3600
"""Seconds that a token of ours is good for."""


@dataclass(frozen=True)
class Volumes:
    """Of the Pods of one namespace. `claims`: where the claims' content lies, which outlives the Pods."""

    api: Api
    namespace: str
    claims: Path

    def lay_out(self, pod: Manifest, folder: Path) -> dict[str, Path]:
        """Name of the volume -> its folder. What is there already is brought up to date."""
        return {each["name"]: self._one(pod, each, folder / each["name"]) for each in pod["spec"].get("volumes") or ()}

    def _one(self, pod: Manifest, volume: Mapping[str, Any], folder: Path) -> Path:
        if claim := volume.get("persistentVolumeClaim"):
            folder = self.claims / claim["claimName"]
        folder.mkdir(parents=True, exist_ok=True)
        if "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"]["sources"]:
                files |= self._files(pod, source, folder)
            swap(folder, files)
        elif "configMap" in volume or "secret" in volume:
            swap(folder, self._files(pod, volume, folder))
        else:
            assert {"emptyDir", "persistentVolumeClaim"} & set(volume), f"nobody lays out {volume}"
        return folder

    def _files(self, pod: Manifest, source: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
        if "serviceAccountToken" in source:
            return self._token(pod, source["serviceAccountToken"], folder)
        if "downwardAPI" in source:
            return {
                each["path"]: field(pod, each["fieldRef"]["fieldPath"]).encode()
                for each in source["downwardAPI"]["items"]
            }
        kind, plural = ("secret", "secrets") if "secret" in source else ("configMap", "configmaps")
        wanted = source[kind]
        found = self.data(
            plural, str(wanted.get("name") or wanted.get("secretName")), optional=bool(wanted.get("optional"))
        )
        if items := wanted.get("items"):
            return {each["path"]: found[each["key"]] for each in items if each["key"] in found}
        return found

    def data(self, plural: str, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """What a ConfigMap or Secret holds. Raises Refused where it is missing and must not be."""
        try:
            found = self.api.get(f"/api/v1/namespaces/{self.namespace}/{plural}/{name}")
        except Refused as exc:
            if optional and exc.status == 404:
                return {}
            raise
        given, packed = found.get("data") or {}, plural == "secrets"
        binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
        return {key: base64.b64decode(value) if packed else value.encode() for key, value in given.items()} | binary

    def _token(self, pod: Manifest, wish: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
        """A token for the Pod's ServiceAccount, asked for once."""
        if (folder / wish["path"]).exists():
            return {wish["path"]: (folder / wish["path"]).read_bytes()}
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFE, "boundObjectRef": bound},
        }
        account = pod["spec"]["serviceAccountName"]
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        return {wish["path"]: self.api.ask("POST", path, request)["status"]["token"].encode()}

    def environment(self, pod: Manifest, container: Mapping[str, Any]) -> dict[str, str]:
        """The variables of a container."""
        found: dict[str, str] = {}
        for each in container.get("envFrom") or ():
            kind, plural = ("secretRef", "secrets") if "secretRef" in each else ("configMapRef", "configmaps")
            given = self.data(plural, each[kind]["name"], optional=bool(each[kind].get("optional")))
            found |= {f"{each.get('prefix', '')}{key}": value.decode() for key, value in given.items()}
        for each in container.get("env") or ():
            found[each["name"]] = each["value"] if "value" in each else self._taken(pod, each.get("valueFrom") or {})
        return found

    def _taken(self, pod: Manifest, source: Mapping[str, Any]) -> str:
        if "fieldRef" in source:
            return field(pod, source["fieldRef"]["fieldPath"])
        for kind, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            if kind in source:
                wanted = source[kind]
                given = self.data(plural, wanted["name"], optional=bool(wanted.get("optional")))
                return given[wanted["key"]].decode()
        return ""


def field(pod: Mapping[str, Any], path: str) -> str:
    """What the downward API gives for metadata.name and the like."""
    found: Any = pod
    for key in path.split("."):
        found = found[key]
    return str(found)


def swap(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make these the files of the folder: all at once, by renaming the link ..data, and not at all if they are so."""
    link = folder / "..data"
    if link.exists() and dict(_held(link)) == dict(files):
        return
    old = link.resolve() if link.exists() else None
    fresh = folder / f"..{secrets.token_hex(6)}"
    for path, content in files.items():
        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh / path).write_bytes(content)
    fresh.mkdir(exist_ok=True)
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").replace(link)
    tops = {path.partition("/")[0] for path in files}
    for name in tops:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for each in folder.iterdir():
        if not each.name.startswith("..") and each.name not in tops:
            each.unlink()
    if old:
        shutil.rmtree(old)


def _held(link: Path) -> Iterator[tuple[str, bytes]]:
    for each in link.rglob("*"):
        if each.is_file():
            yield str(each.relative_to(link)), each.read_bytes()
