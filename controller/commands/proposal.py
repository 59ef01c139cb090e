"""What `orcha plan --diff` compares: two sets of manifests, read from files or from Git, and what would be planned by each.

What a change means is controller/proposed's, what would be planned is whatif's, over a look that the state remembers.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from controller.commands.options import DEFAULT_MANIFESTS, View, finish
from controller.commands.revisions import Commit, NoRevision, refuse
from controller.commands.terminal import NO, fail, tell
from controller.commands.whatif import states_by
from controller.manifests import Manifests, load
from controller.proposed.changes import compare
from controller.proposed.sides import Id, Side
from controller.report.proposed_view import proposed_view
from controller.report.tables import amount
from exporters.collector import discover
from exporters.documents import MAX_FILE, CannotRead, read_files

if TYPE_CHECKING:
    from controller.model import State
    from controller.recalled import Recalled

WITHOUT_STATE = (
    "name the state that `orcha run` writes with --state to see what would be planned; no node is asked for it"
)


@dataclass(frozen=True, slots=True)
class Read:
    """One of the two sets, as it was read."""

    name: str
    found: Manifests
    written: Mapping[Id, Any]
    problems: tuple[str, ...] = ()
    """In words that name the file and line where its writer finds them."""
    warnings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(path, sentence) -> the same with its file and line."""

    def side(self) -> Side:
        found = self.found
        chosen = {node.name: policy.name for policy in found.policies for node in found.nodes_of(policy)}
        return Side(self.name, found.nodes, found.policies, found.settings, chosen, self.written, found.fleet)


def proposal(base: str, head: str, manifests: Sequence[Path], state: str | None) -> View:
    """Shape: controller/report/proposed_view.py. An invalid HEAD is told with all its problems, and the program ends."""
    try:
        before, after = (_read(name, _paths(other, manifests)) for name, other in ((base, head), (head, base)))
    except (CannotRead, NoRevision) as exc:
        fail(str(exc))
    if after is None:
        fail(
            f"{head} holds no manifests at {', '.join(map(str, _paths(base, manifests)))}; name where they are with --manifests"
        )
    if after.problems:
        for problem in after.problems:
            tell(problem)
        raise typer.Exit(NO)
    notes = []
    if before is None:
        notes.append(f"{base} holds no manifests there: everything is new")
    elif before.problems:
        notes.append(f"the manifests of {base} are not valid ({before.problems[0]}): everything is shown as new")
    if before is None or before.problems:
        before = Read(base, Manifests(), {})
    found = compare(before.side(), after.side())
    plan: View | str = WITHOUT_STATE
    if state is not None:
        plan, more = finish(_planned(before.found, after.found, state))
        notes += more
    new = [warning for key, warning in after.warnings.items() if key not in before.warnings]
    return proposed_view(found, base=base, head=head, notes=notes, warnings=new, plan=plan)


def _paths(other: str, manifests: Sequence[Path]) -> list[Path]:
    """Where a revision has its manifests: as --manifests says, else where the other side is, if that is a path."""
    if list(manifests) == [DEFAULT_MANIFESTS] and Path(other).exists():
        return [Path(other)]
    return list(manifests)


# --- reading --------------------------------------------------------------------------------------------------------------


def _read(name: str, paths: Sequence[Path]) -> Read | None:
    """What a file, a directory or a revision holds; None: a revision without manifests there."""
    refuse(name)
    if name.startswith("/dev/") and not Path(name).is_file() and Path(name).exists():
        return _of_pipe(name)
    if Path(name).exists():
        return _of_files(name, [Path(name)], {})
    commit = Commit.named(name, paths[0])
    with tempfile.TemporaryDirectory() as where:
        said, places = {}, []
        for number, path in enumerate(paths):
            if not (names := commit.holds(path)):
                continue
            place = Path(where) / str(number)
            place.mkdir()
            commit.write(names, place)
            said[f"{place}/"] = f"{name}:{names[0].rpartition('/')[0]}/".replace(":/", ":")
            places += [place / each.rpartition("/")[2] for each in names if (place / each.rpartition("/")[2]).exists()]
        return _of_files(name, places, said) if places else None


def _of_pipe(name: str) -> Read:
    """What another program writes: orcha plan --diff manifests <(kustomize build head). It can be read only once."""
    with tempfile.TemporaryDirectory() as where:
        file = Path(where) / "manifests.yaml"
        with Path(name).open("rb") as pipe:
            file.write_bytes(content := pipe.read(MAX_FILE + 1))
        if len(content) > MAX_FILE:
            raise CannotRead(f"{name} is larger than {MAX_FILE // 2**20} MiB; that is no manifest")
        return _of_files(name, [file], {str(file): name})


def _of_files(name: str, paths: Sequence[Path], said: Mapping[str, str]) -> Read:
    """`said`: how to call the beginning of a path that nobody but this program knows."""
    found = load(paths, discover())

    def told(problem: object) -> str:
        words = str(problem)
        for path, call in said.items():
            words = words.replace(path, call)
        return words

    written = {} if found.problems else dict(_documents(paths))
    return Read(
        name,
        found,
        written,
        tuple(map(told, found.problems)),
        {(each.path, each.sentence): told(each) for each in found.warnings},
    )


def _documents(paths: Sequence[Path]) -> Iterator[tuple[Id, Any]]:
    """Every document as it was written."""
    for document in read_files(paths)[0]:
        kind = document.kind or ""
        yield (kind, "" if kind in {"Settings", "Fleet"} else document.data["metadata"]["name"]), document.data


# --- what would be planned ------------------------------------------------------------------------------------------------


async def _planned(before: Manifests, after: Manifests, state: str) -> tuple[View, list[str]]:
    """The outcomes of every policy of both, and what is to be said beside them. Raises CouldNot."""
    from controller.decide import decide
    from controller.recalled import recall
    from controller.report.whatif import whatif
    from controller.report.whatif_view import outcomes_view

    recalled = await recall(before, after, state, discover())
    seen = recalled.look
    then: dict[str, State] = {each.policy: each for each in states_by(after, seen)}
    outcomes = [await asyncio.to_thread(whatif, each, then[each.policy]) for each in seen.states if each.policy in then]
    notes = [f"what would be planned is as of {_said(seen.observation.at)}, when the state was written last"]
    known = {each.policy for each in seen.states}
    for name, each in then.items():
        if name not in known:
            decision = await asyncio.to_thread(decide, each)
            notes.append(f"policy {name} is new; by it: {decision.sentence}")
    notes += [f"policy {name} is gone: nothing is planned by it" for name in sorted(known - then.keys())]
    if any(policy.spec.limits.block_while for policy in after.policies):
        notes.append("limits.blockWhile is not asked: what Prometheus would say is not known here")
    view = outcomes_view(outcomes, at=seen.observation.at, sets=(), prices={}, forced={}, notes=notes)
    return view, list(_left(before, after, recalled))


def _left(before: Manifests, after: Manifests, recalled: Recalled) -> Iterator[str]:
    """What workloads that go were last changed to: nobody changes them back."""
    keys = {f"{node.name}/{name}" for node in after.nodes for name in node.spec.workloads}
    for node in before.nodes:
        for name in node.spec.workloads:
            change = recalled.changes.get(f"{node.name}/{name}")
            if f"{node.name}/{name}" in keys or change is None or change.last_moved is None:
                continue
            to = "" if change.expected is None else f" to {amount(change.resource, change.expected)}"
            yield f"{node.name}/{name} was changed last on {_said(change.last_moved)}{to}; it stays so"


def _said(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
