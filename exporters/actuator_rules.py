"""What must hold of the actuators of one Node. Pure: each rule yields (path, sentence with what would be right)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from yarl import URL

from exporters.documents import Path_
from exporters.nodes import Actuator, Allocation, Command, Kubernetes, Node, WorkloadSpec
from exporters.placeholders import CannotFill, placeholders
from exporters.quantity import format_duration

Told = Iterator[tuple[Path_, str]]
DRIVERS: Final = ("dry_run", "kubernetes", "command", "webhook", "handout")
_ACTING: Final = DRIVERS[1:]
LONGEST: Final = 540.0
"""Seconds that a command may take: the controller gives up on any driver a minute later."""


def actuator_rules(here: Path_, spec: WorkloadSpec) -> Told:
    """Of one workload; `here` is its path."""
    actuator, at = spec.actuator, (*here, "actuator")
    if actuator is None:
        return
    if sum(1 for name in DRIVERS if getattr(actuator, name)) != 1:
        yield at, "name exactly one driver: dryRun, kubernetes, command, webhook or handout"
    if actuator.command:
        yield from _command_rules((*at, "command"), actuator.command)
    if actuator.webhook:
        yield from _webhook_rules((*at, "webhook"), actuator.webhook.url, actuator.webhook.secret_file)
    for path, text in _texts(at, actuator):
        yield from _placeholder_rules(path, text, spec.allocation)
    if actuator.kubernetes:
        for i, name in enumerate(actuator.kubernetes.resources):
            yield from _told_rules((*at, "kubernetes", "resources", i), name, name, spec.allocation)
    if spec.allocation:
        yield from _all_is_set(here, spec.allocation, actuator)


def no_pretence_beside_acts(node: Node) -> Told:
    """What a dry run pretends to free is not free, so nothing real may count on it."""
    having = {name: spec for name, spec in node.spec.workloads.items() if spec.allocation and spec.actuator}
    acting = {name: driver for name, spec in having.items() if (driver := _acts(spec))}
    for name, spec in having.items():
        if not spec.actuator or not spec.actuator.dry_run:
            continue
        for other, driver in acting.items():
            if shared := sorted(_resources(spec) & _resources(having[other])):
                freed = ", ".join(shared)
                sentence = f"{driver} really changes {other}, and what a dry run on the same node pretends to free of {freed} is not free"
                at = ("spec", "workloads", name, "actuator", "dryRun")
                yield at, f"{sentence}; give both a real driver, or both dryRun"
                break


def _acts(spec: WorkloadSpec) -> str | None:
    return next((name for name in _ACTING if getattr(spec.actuator, name)), None)


def _resources(spec: WorkloadSpec) -> set[str]:
    return {spec.allocation.resource, *spec.allocation.with_} if spec.allocation else set()


def _command_rules(here: Path_, command: Command) -> Told:
    if command.timeout > LONGEST:
        yield (*here, "timeout"), f"is more than {format_duration(LONGEST)}; start what takes longer in the background"
    lines = {(*here, "argv"): command.argv}
    if command.verify:
        lines[*here, "verify", "argv"] = command.verify.argv
    for path, argv in lines.items():
        program = argv[0]
        if not program.strip():
            yield (*path, 0), "is empty; write the name or the full path of a program"
        elif "{" in program or "}" in program:
            yield (*path, 0), f"{program!r} has a placeholder: which program runs must not depend on an amount"
        elif "/" in program and not program.startswith("/"):
            yield (
                (*path, 0),
                f"{program!r} is a relative path; write the full one (no shell is asked, so ~ means nothing)",
            )
        elif " " in program and len(argv) == 1:
            yield (
                (*path, 0),
                f"{program!r} is one word to the system, no shell takes it apart; write each argument on its own",
            )
        for i, word in enumerate(argv):
            if "\0" in word:
                yield (*path, i), "holds a zero byte, which no argument can; take it out"


def _webhook_rules(here: Path_, address: str, secret_file: str) -> Told:
    if not secret_file.strip():
        yield (*here, "secretFile"), "is empty; name the file with the secret that signs each call"
    at = (*here, "url")
    try:
        url = URL(address)
        host, port = url.host, url.port
    except ValueError:
        host, port = None, None
    if not host or not port or url.scheme not in {"http", "https"} or any(c.isspace() for c in address):
        yield at, "is not an address; write https://HOST/PATH"
    elif url.user is not None or url.password is not None:
        yield at, "holds a user or password; calls are signed by the secret in secretFile, so take them out"
    elif url.query_string or url.fragment:
        yield at, "holds a ? or #; write https://HOST/PATH, calls are signed by the secret in secretFile"


def _texts(at: Path_, actuator: Actuator) -> Iterator[tuple[Path_, str]]:
    """Everything that may have placeholders, with its path."""
    if actuator.command:
        yield from (((*at, "command", "argv", i), word) for i, word in enumerate(actuator.command.argv))
        if actuator.command.verify:
            argv = actuator.command.verify.argv
            yield from (((*at, "command", "verify", "argv", i), word) for i, word in enumerate(argv))
    if actuator.kubernetes:
        yield from _kubernetes_texts((*at, "kubernetes"), actuator.kubernetes)


def _kubernetes_texts(at: Path_, kubernetes: Kubernetes) -> Iterator[tuple[Path_, str]]:
    yield from (((*at, "env", name), text) for name, text in kubernetes.env.items())
    yield from (((*at, "args", i), text) for i, text in enumerate(kubernetes.args))
    if kubernetes.replicas is not None:
        yield (*at, "replicas"), kubernetes.replicas


def _placeholder_rules(path: Path_, text: str, allocation: Allocation | None) -> Told:
    try:
        found = placeholders(text)
    except CannotFill as exc:
        yield path, str(exc)
        return
    for resource, unit in found:
        yield from _told_rules(path, resource, f"{{{resource}{unit and ':'}{unit}}}", allocation)


def _told_rules(path: Path_, resource: str, shown: str, allocation: Allocation | None) -> Told:
    """A driver is told the amounts of the allocation's own resource, and of what goes along and is not reserved."""
    if allocation is None:
        yield path, f"{shown} has no amount: this workload has no allocation; write one, or leave the actuator out"
    elif resource in allocation.reserve:
        yield path, f"{shown} has no amount: {resource} is listed in reserve, as what no driver sets; take it out there"
    elif resource != allocation.resource and resource not in allocation.with_:
        have = ", ".join(sorted({allocation.resource, *allocation.with_} - set(allocation.reserve)))
        yield (
            path,
            f"{shown} has no amount: this workload is allocated {have}; add {resource} to with, or write one of these",
        )


def _all_is_set(here: Path_, allocation: Allocation, actuator: Actuator) -> Told:
    """What the owner's own texts must mention; the other drivers hand over every amount."""
    if not actuator.command and not actuator.kubernetes:
        return
    placed: set[str] = set(actuator.kubernetes.resources) if actuator.kubernetes else set()
    for path, text in _texts((*here, "actuator"), actuator):
        if "verify" not in path:
            placed |= _named(text)
    if allocation.resource not in placed:
        own, name = allocation.resource, "command" if actuator.command else "kubernetes"
        yield (
            (*here, "actuator", name),
            f"no part of it sets {own}, which is what this workload is allocated; write {{{own}}} where the amount goes",
        )
    for name in sorted(set(allocation.with_) - set(allocation.reserve) - placed):
        yield (
            (*here, "allocation", "with", name),
            f"no part of the actuator sets {name}; use {{{name}}} there, or list it in reserve",
        )


def _named(text: str) -> set[str]:
    try:
        return {resource for resource, _ in placeholders(text)}
    except CannotFill:
        return set()
