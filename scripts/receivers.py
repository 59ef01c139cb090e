#!/usr/bin/env python3
"""Write a configuration for Alertmanager: who is told of which alerts of orcha. Needs nothing but Python.

    python scripts/receivers.py email critical=pushover watchdog=dead-mans-switch --output /etc/prometheus/alertmanager.yml

RECEIVER is a file of alertmanager/receivers: for what is critical, warning and info. PLACE=RECEIVER adds it to one receiver of
alertmanager/alertmanager.yml: critical, warning, info, watchdog, or a protocol. Routes and inhibition are those of that file.

Where Alertmanager 0.25 cannot read a secret from a file, the receiver says '@file:PATH'; with --output the file's content
takes its place, and what is written is readable by its owner alone. Without --output the result is shown, without secrets.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "alertmanager"
EVERYONE = ("critical", "warning", "info")
_RECEIVERS = re.compile(r"^(?:#[^\n]*\n)*receivers:\n", re.MULTILINE)
_NAME = re.compile(r"^  - name: (\S+)\n", re.MULTILINE)
_KEY = re.compile(r"^    (\w+_configs):\n", re.MULTILINE)
_SECRET = re.compile(r"'@file:([^']+)'")


class Wrong(Exception):
    """What is wrong with what was asked for, where, and what would be right."""


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    try:
        text = assemble(options.source, options.wanted)
        if options.output is None:
            sys.stdout.write(text)
        else:
            _write(options.output, text)
            print(f"wrote {options.output}; look at it with: amtool check-config {options.output}", file=sys.stderr)
    except (Wrong, OSError) as exc:
        print(f"receivers.py: {exc}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    known = ", ".join(sorted(path.stem for path in (HERE / "receivers").glob("*.yml")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="+", metavar="[PLACE=]RECEIVER", help=f"there are: {known}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it; without: shown")
    parser.add_argument(
        "--from", dest="source", type=Path, default=HERE, metavar="DIR", help="a copy of alertmanager/ that you changed"
    )
    return parser.parse_args(argv)


def assemble(source: Path, wanted: Sequence[str]) -> str:
    """The configuration as text, with '@file:PATH' where a secret belongs."""
    base = (source / "alertmanager.yml").read_text(encoding="utf-8")
    found = _RECEIVERS.search(base)
    if found is None:
        raise Wrong(f"{source / 'alertmanager.yml'} has no receivers: at the start of a line")
    places = _NAME.findall(base, found.end())
    chosen = _chosen(wanted, places)
    head = base[base.index("templates:") : found.start()].replace("templates/", f"{(source / 'templates').resolve()}/")
    blocks = "".join(_receiver(place, [_block(source, name) for name in chosen[place]]) for place in places)
    return f"# Written by scripts/receivers.py {' '.join(wanted)}\n{head}receivers:\n{blocks}"


def _chosen(wanted: Iterable[str], places: Sequence[str]) -> dict[str, list[str]]:
    """Place -> receivers, each once, in the order in which they were named."""
    chosen: dict[str, dict[str, None]] = {place: {} for place in places}
    for word in wanted:
        place, _, name = word.rpartition("=")
        if place and place not in chosen:
            raise Wrong(f"{word}: there is no receiver {place!r} in alertmanager.yml; there are {', '.join(places)}")
        for each in [place] if place else EVERYONE:
            chosen[each][name] = None
    return {place: list(names) for place, names in chosen.items()}


def _block(source: Path, name: str) -> dict[str, str]:
    """What one receiver's file sends with: `slack_configs` -> its list, as text."""
    folder = source / "receivers"
    path = folder / f"{name}.yml"
    if not re.fullmatch(r"[\w-]+", name) or not path.exists():
        there = ", ".join(sorted(other.stem for other in folder.glob("*.yml")))
        raise Wrong(f"{name}: there is no such receiver in {folder}; there are {there}")
    text = path.read_text(encoding="utf-8")
    found = _NAME.search(text)
    parts = _KEY.split(text[found.end() :]) if found else []
    if len(parts) < 3:  # what stands before the first key, the key, its list
        raise Wrong(f"{path} has no '  - name:' with a list such as '    slack_configs:' below it")
    return {key: f"{block.rstrip()}\n" for key, block in zip(parts[1::2], parts[2::2], strict=True)}


def _receiver(place: str, blocks: Sequence[Mapping[str, str]]) -> str:
    merged: dict[str, str] = {}
    for block in blocks:
        for key, text in block.items():
            merged[key] = merged.get(key, "") + text
    return f"  - name: {place}\n" + "".join(f"    {key}:\n{text}" for key, text in merged.items())


def _write(path: Path, text: str) -> None:
    """By rename, so that Alertmanager never reads half a file."""
    filled = _SECRET.sub(_secret, text)
    part = path.with_name(f".{path.name}.part")
    mode = 0o644 if filled == text else 0o600
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(filled)
        part.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):  # which may hold secrets
            part.unlink()
        raise Wrong(f"{path} cannot be written: {exc.strerror}") from exc


def _secret(found: re.Match[str]) -> str:
    path = Path(found[1])
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise Wrong(
            f"the secret in {path} cannot be read: {getattr(exc, 'strerror', None) or 'it is not text'}"
        ) from exc
    if not secret or not secret.isprintable():
        raise Wrong(f"the secret in {path} is {'not one line of text' if secret else 'empty'}; one line is right")
    return "'" + secret.replace("'", "''") + "'"


if __name__ == "__main__":
    sys.exit(main())
