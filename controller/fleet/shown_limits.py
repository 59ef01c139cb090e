"""The fleet's limits as they can be shown: what holds over all sites, what each may hold of it, and whom it waits for. Pure.

Amounts are in base units of the resource. What an agent knows of another's rights may be late, and is never too much of its
own: so a sum of rights may be off while messages are on their way, and no site ever holds more than its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from controller.fleet import escrow
from controller.fleet.wire import WORDED
from exporters.quantity import format_duration, format_quantity

if TYPE_CHECKING:
    from controller.fleet.escrow import Limit
    from controller.fleet.manifest import FleetLimit, FleetSpec
    from controller.fleet.peer import Peer

View = dict[str, Any]
IRREVERSIBLE: Final = "irreversible"
KINDS: Final = {"max_total": "most", "min_total": "least", "max_count": "count"}
"""Field of the manifest -> the word behind the limit's name in escrow.py."""
NAMES: Final = {
    "max_total": "maxTotal", "min_total": "minTotal", "max_count": "maxCount", "max_share": "maxShare",
    IRREVERSIBLE: "irreversibleAtOnce",
}  # fmt: skip
_WHOLE: Final = ("memory", "storage", "bandwidth")
"""Resources whose base unit is small enough to count in; of others thousandths are counted."""


def in_words(resource: str | None, amount: float | None) -> str:
    """An amount as its owner would write it: "8 cores", "48GiB", "400Mbit/s", "12 DATA"; None as resource: workloads."""
    if amount is None:
        return "?"
    if resource is None:
        return f"{amount:g}"
    if resource == "cpu":
        return f"{amount:,.6g} core{'' if amount == 1 else 's'}"
    if resource in _WHOLE:
        binary = resource != "bandwidth" and amount % 2**20 == 0
        return f"{format_quantity(amount, binary=binary)}{'bit/s' if resource == 'bandwidth' else 'B'}"
    return f"{amount:,.6g} {resource.rpartition('/')[2]}"


def scale_of(resource: str | None) -> int:
    """How many of escrow's whole numbers are one base unit; as limits.py counts."""
    return 1 if resource is None or resource in _WHOLE else 1000


def limits_view(spec: FleetSpec, peer: Peer | None, now: float) -> list[View]:
    """Those of the manifest, in its order, as one agent knows them."""
    known = escrow.limits(peer.replica) if peer is not None else {}
    found = [_declared(each, known, peer, now) for each in spec.limits]
    if spec.irreversible_at_once is not None:
        head = _head(IRREVERSIBLE, IRREVERSIBLE, None, None, spec.irreversible_at_once)
        found.append(_shared(head, known.get(IRREVERSIBLE), peer, now))
    return found


def _declared(limit: FleetLimit, known: dict[str, Limit], peer: Peer | None, now: float) -> View:
    kind = next(name for name in (*KINDS, "max_share") if getattr(limit, name) is not None)
    resource = None if kind == "max_count" else limit.resource
    head = _head(limit.name, kind, limit.protocol, resource, getattr(limit, kind))
    if kind == "max_share":
        sentence = (
            f"each site keeps {limit.protocol} within {limit.max_share:.0%} of its own {limit.resource}, and so do all"
        )
        return {**head, "in_force": head["bound"], "as_declared": True, "settled": True, "sentence": sentence}
    return _shared(head, known.get(f"{limit.name} {KINDS[kind]}"), peer, now)


def _head(name: str, kind: str, protocol: str | None, resource: str | None, bound: float) -> View:
    return {
        "name": name,
        "kind": NAMES[kind],
        "protocol": protocol,
        "resource": resource,
        "bound": float(bound),
        "in_force": None,
        "as_declared": None,
        "settled": None,
        "waits_for": [],
        "held": None,
        "wanted": None,
        "usable": None,
        "sites": [],
        "sentence": "nobody here knows more of it: no agent lives in this process",
    }


# --- limits that are shared out ---------------------------------------------------------------------------------------


def _shared(head: View, newest: Limit | None, peer: Peer | None, now: float) -> View:
    if peer is None:
        return head
    if newest is None:
        return {
            **head,
            "settled": False,
            "usable": False,
            "sentence": "no site has told it to the others yet; until then none grows",
        }
    scale = scale_of(head["resource"])
    told = escrow.holdings(peer.replica, newest)
    owes = head["kind"] == NAMES["min_total"]
    keep = escrow.adopters(peer.replica, newest)
    rows = [
        {**_row(peer, newest, site, told.get(site), scale, now, owes=owes), "adopted": site in keep}
        for site in newest.members
    ]
    bound = newest.least if owes else newest.most
    view = {
        **head,
        "in_force": bound / scale if bound is not None else None,
        "as_declared": bound is not None and abs(bound - head["bound"] * scale) < 1,
        "settled": len(keep) == len(newest.members),
        "waits_for": [row["site"] for row in rows if not row["adopted"]],
        "held": _sum(row["held"] for row in rows),
        "wanted": _sum(row["wanted"] for row in rows),
        "usable": _is_usable(peer, newest.name) if peer.name in newest.members else None,
        "sites": rows,
    }
    return {**view, "sentence": " ".join(_sentences(view))}


def _is_usable(peer: Peer, name: str) -> bool:
    """Whether a site may use its part: it knows all that it ever promised, and has heard once that all sites keep the limit, as
    it notes itself (site.py).
    """
    said = peer.replica.registers.get((WORDED, f"{name}@{peer.name}"))
    return peer.trusted and said is not None and bool(json.loads(said.value.value)["in_force"])


def _row(
    peer: Peer, limit: Limit, site: str, holding: escrow.Holding | None, scale: int, now: float, *, owes: bool
) -> View:
    """What one site owns of a limit (of a least amount: owes), holds and wants, as far as is known here."""
    bound = escrow.binding(peer.replica, limit.name, site)
    wordings = {each.id: each for each in (*bound, limit)}.values()
    of = escrow.duties if owes else escrow.rights
    parts = [part for each in wordings if (part := of(peer.replica, each, site)) is not None]
    part = (max if owes else min)(parts, default=None)
    heard = None if site == peer.name else peer.others[site].heard if site in peer.others else None
    return {
        "site": site,
        "rights": part / scale if part is not None else None,
        "held": holding.held / scale if holding is not None else None,
        "wanted": holding.want / scale if holding is not None else None,
        "silent_seconds": max(0.0, now - heard) if heard is not None else None,
        "alive": peer.health(site, now) > 0 if site in peer.names else None,
    }


def _sum(parts: Iterable[float | None]) -> float | None:
    """None where one is not known."""
    found = list(parts)
    return None if None in found else sum(part for part in found if part is not None)


def _sentences(view: View) -> Iterator[str]:
    resource, kind = view["resource"], view["kind"]
    told, bound = in_words(resource, view["in_force"]), in_words(resource, view["bound"])
    owes = kind == NAMES["min_total"]
    what = "at least" if owes else "at most"
    if view["in_force"] is None:
        yield "no bound is in force: a newer manifest of another site has none;"
    elif not view["as_declared"]:
        yield f"in force is {what} {told}, this site's manifest says {bound}: not all sites have the same one;"
    held = (
        "not every site has said what it holds" if view["held"] is None else f"{in_words(resource, view['held'])} held"
    )
    if view["held"] is not None and view["in_force"] is not None:
        left = view["held"] - view["in_force"] if owes else view["in_force"] - view["held"]
        over = "too little" if owes else "too much"
        held += f" of {what} {told}, {in_words(resource, abs(left))} {'to spare' if left >= 0 else over}"
    yield held + ("" if view["settled"] else ";")
    if not view["settled"]:
        yield "not settled: " + "; ".join(_why(view, row) for row in view["sites"] if not row["adopted"])


def _why(view: View, row: View) -> str:
    """Why a site has not adopted the newest wording, as far as can be told from here."""
    name, resource, owes = row["site"], view["resource"], view["kind"] == NAMES["min_total"]
    if row["alive"] is False:
        ago = "" if row["silent_seconds"] is None else f" for {format_duration(row['silent_seconds'])}"
        return f"{name} is cut off{ago} and keeps within what it last knew"
    if row["held"] is None or row["rights"] is None:
        return f"{name} has not said yet what it holds"
    held, part = in_words(resource, row["held"]), in_words(resource, row["rights"])
    if owes and row["held"] < row["rights"]:
        return f"{name} holds {held} and must hold {part}"
    if not owes and row["held"] > row["rights"]:
        return f"{name} holds {held} and may hold {part}; it gives up the rest step by step"
    return f"{name} has not taken it on yet; it does at its next turn"


def trouble(what: str, right: str, *, serious: bool = True) -> View:
    """What is wrong, and what to do about it. Not serious: it may mend itself."""
    return {"serious": serious, "what": what, "right": right}


def troubles_with_limits(limits: Iterable[View]) -> Iterator[View]:
    every = list(limits)
    if untold := [limit["name"] for limit in every if limit["settled"] is False and not limit["sites"]]:
        yield trouble(
            f"no site has told limit {', '.join(untold)} to the others yet; until then none grows by it",
            "each site that runs tells the limits of its manifest at its next turn",
            serious=False,
        )
    for limit in every:
        name = f"limit {limit['name']} ({limit['kind']})"
        if limit["settled"] is False and limit["sites"]:
            why = limit["sentence"].partition("not settled: ")[2]
            yield trouble(f"{name} is not settled: {why}", _remedy(limit), serious=False)
        if limit["as_declared"] is False:
            yield trouble(f"{name}: {limit['sentence'].partition(';')[0]}", "give every site the same Fleet manifest")


def troubles_with_manifests(spec: FleetSpec, peer: Peer) -> Iterator[View]:
    """Sites whose manifests say something else of a limit than is in force, or count something else by it than the one here. Each
    tells what its own says (site.py); whose wording is the newest would not learn of the others else.
    """
    known = escrow.limits(peer.replica)
    wanted = [
        (f"{each.name} {word}", f"{each.name} ({NAMES[field]})", [each.protocol, each.resource])
        for each in spec.limits
        for field, word in KINDS.items()
        if getattr(each, field) is not None
    ]
    for name, shown, meaning in (*wanted, (IRREVERSIBLE, f"{IRREVERSIBLE} ({NAMES[IRREVERSIBLE]})", None)):
        newest = known.get(name)
        others = [site for site in newest.members if site != peer.name] if newest is not None else []
        if differ := [site for site in others if newest is not None and _says_else(peer, newest, site, meaning)]:
            yield trouble(
                f"limit {shown}: as was heard last, the manifest of {', '.join(differ)} says something else of it",
                "give every site the same Fleet manifest",
            )


def _says_else(peer: Peer, newest: Limit, site: str, meaning: list[str] | None) -> bool:
    item = peer.replica.registers.get((WORDED, f"{newest.name}@{site}"))
    try:
        said = json.loads(item.value.value) if item is not None else {"wording": "", "of": [meaning]}
        return said["wording"] not in {"", newest.id} or (meaning is not None and meaning not in said["of"])
    except (ValueError, KeyError, TypeError):  # of another version of orcha
        return False


def _remedy(limit: View) -> str:
    lost = [row["site"] for row in limit["sites"] if not row["adopted"] and row["alive"] is False]
    if lost:
        return f"all keep within the older wording too, until {', '.join(lost)} is heard again"
    return "all keep within the older wording too, until these follow; nothing need be done"
