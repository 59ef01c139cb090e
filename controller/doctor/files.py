"""Files with secrets: whether they are there, can be read by who runs this, and by nobody else. Never shows what is in one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.doctor.finding import Finding, Mark, fail, ok, unknown, warn
from controller.manifests import Manifests
from exporters.doors import is_loopback
from exporters.manifests import secret_files
from exporters.settings import read_listen

if TYPE_CHECKING:
    from pydantic import BaseModel

AREA = "credentials"


def credentials(found: Manifests) -> list[Finding]:
    """One line for each file that the manifests name."""
    named: dict[str, list[str]] = {}
    for where, file in _named(found):
        named.setdefault(file, []).append(where)
    return [look_at(Path(file), ", ".join(sorted(set(places)))) for file, places in sorted(named.items())]


def unusable(findings: Iterable[Finding]) -> frozenset[str]:
    """The files without which there is nothing to ask with."""
    return frozenset(finding.what for finding in findings if finding.area == AREA and finding.mark is Mark.FAIL)


def not_plain(findings: Iterable[Finding]) -> frozenset[str]:
    """Those of them that must not even be opened: a pipe would be waited for, and for ever."""
    return frozenset(name for name in unusable(findings) if os.path.exists(name) and not os.path.isfile(name))  # noqa: PTH110, PTH113 Path raises for what is in a folder of somebody else


def named_by(data: Any) -> frozenset[str]:
    """Every file with a secret that a part of a manifest names, each written in one way."""
    return frozenset(str(Path(file)) for _, file in secret_files(data, ()))


def named_in(spec: BaseModel) -> frozenset[str]:
    """The same of a spec."""
    return named_by(spec.model_dump(by_alias=True, mode="json"))


def not_asked(area: str, what: str) -> Finding:
    """Of what needs a file that is of no use."""
    return unknown(
        area, what, "was not asked: a file that it needs cannot be used", "mend the file (under credentials)"
    )


def _named(found: Manifests) -> Iterator[tuple[str, str]]:
    for node in found.nodes:
        for name, spec in node.spec.workloads.items():
            for file in named_in(spec):
                yield f"{node.name}/{name}", file
    for file in named_in(found.settings.spec):
        yield "Settings", file
    if found.fleet is not None:
        for file in named_in(found.fleet.spec):
            yield "Fleet", file


def look_at(file: Path, whose: str) -> Finding:
    """How it stands with one file. Nothing of it is read beyond what the system says about it."""
    what = str(file)
    try:
        about = file.stat()
    except FileNotFoundError:
        return fail(
            AREA, what, f"does not exist; {whose} needs it", "create it, readable only by the user that runs orcha"
        )
    except OSError as exc:
        todo = "let the user that runs orcha enter its folder and read it"
        return fail(AREA, what, f"cannot be looked at ({exc.strerror}); {whose} needs it", todo)
    if not stat.S_ISREG(about.st_mode):
        return fail(AREA, what, f"is no plain file; {whose} needs one", "write the secret into a file, and name that")
    if not os.access(file, os.R_OK, effective_ids=True):
        todo = "give it to the user that runs orcha: chown, then chmod 600"
        return fail(AREA, what, f"cannot be read by this user; {whose} needs it", todo)
    if about.st_size == 0:
        return fail(AREA, what, f"is empty; {whose} needs it", "put the secret into it")
    if about.st_mode & stat.S_IROTH:
        return warn(
            AREA,
            what,
            "can be read by every user of this machine",
            f"chmod 600 {what} (in Kubernetes: defaultMode: 0400)",
        )
    if about.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        return warn(AREA, what, "can be changed by other users", f"chmod 600 {what}")
    return ok(AREA, what, f"readable, and private ({whose})")


def tokens(spec: Any, listen: str) -> list[Finding]:
    """Whether whoever may reach the API could also use it. `spec`: of Settings. Whether its files can be read is told by
    `credentials`.
    """
    host, _ = read_listen(listen)
    files: Mapping[str, str | None] = {"read": spec.api.token_files.read, "operate": spec.api.token_files.operate}
    if is_loopback(host):
        return []
    if any(files.values()):
        roles = " and ".join(role for role, file in files.items() if file)
        return [ok("controller", "API tokens", f"{listen} can be reached from elsewhere, and needs a token ({roles})")]
    todo = "name files under api.tokenFiles in Settings (docs/api.md), or listen on 127.0.0.1"
    return [
        warn(
            "controller",
            "API tokens",
            f"{listen} can be reached from elsewhere, and no token is set: the API refuses everybody",
            todo,
        )
    ]
