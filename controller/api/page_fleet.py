"""The fleet on the landing page: who is heard, what each limit leaves this site, who waits for whom. Pure.

All of it is as the agent here knows it. `fleet`: shown_glance.glance, and `troubles` of the whole view beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from controller.api.page_tables import cell, row, table
from controller.fleet.shown_limits import in_words

View = dict[str, Any]
MOST_AGENTS: Final = 12
"""Of more, all unfold when asked."""
_LINKS: Final = {"fleet as JSON": "api/v1/fleet", "messages as JSON": "api/v1/fleet/timeline"}
_COUNTED: Final = {"maxCount": "workloads above their minimum", "irreversibleAtOnce": "moves that cannot be taken back"}
_OWN, _HERE, _ALL = "this site's part", "held here", "held in all"


def fleet_part(fleet: View | None) -> str:
    """The section; nothing where there is no fleet."""
    if fleet is None:
        return ""
    links = "".join(f'<li><a href="{url}">{name}</a></li>' for name, url in _LINKS.items())
    return (
        f'<section id="fleet" aria-labelledby="fleet-title"><h2 id="fleet-title">{_title(fleet)}</h2>'
        f'<p class="dim">{escape(_agreement(fleet))}</p>{_troubles(fleet["troubles"])}{_agents(fleet)}{_limits(fleet)}'
        f'{_waiting(fleet)}<nav aria-label="More of the fleet"><ul>{links}</ul></nav></section>'
    )


def _title(fleet: View) -> str:
    name = f"Fleet {escape(fleet['name'])}"
    if fleet["site"] is not None:
        return f"{name}: this is site {escape(fleet['site'])}"
    return f"{name}: no site of it is here"


def how_many(fleet: View) -> tuple[str, str]:
    """How many agents are alive, and who is not, for the sums."""
    if fleet["alive"] is None:
        return "?", "no agent lives here"
    silent = [each["name"] for each in fleet["agents"] if each["alive"] is False]
    told = ", ".join(silent[:3]) + (f" and {len(silent) - 3} more" if len(silent) > 3 else "")
    return f"{fleet['alive']} of {len(fleet['agents'])}", f"{told} cut off" if silent else ""


def _agreement(fleet: View) -> str:
    """Whether all that are alive know the same. Who writes all the time is seldom equal, so that is no trouble by itself."""
    if fleet["alive"] is None:
        return "No agent lives in this process, so nothing is known of the others."
    if fleet["alive"] == 1 and len(fleet["agents"]) > 1:
        return f"{fleet['seen_by']} hears nobody else; each site goes on within its own part of each limit."
    heard = f"{fleet['alive']} of {len(fleet['agents'])} agents are alive, as far as {fleet['seen_by']} has heard"
    if fleet["converged"]:
        return f"{heard}; they know the same since {_clock(fleet['converged_since'])}."
    since = f" since {_clock(fleet['apart_since'])}" if fleet["apart_since"] is not None else ""
    return f"{heard}; they do not all know the same yet{since}."


def _troubles(troubles: Sequence[View]) -> str:
    """What is wrong, and what to do."""
    items = "".join(
        f'<li><strong class="{"bad" if each["serious"] else "odd"}">{"wrong" if each["serious"] else "note"}:</strong> '
        f"{_coded(each['what'])}. To do: {_coded(each['right'])}.</li>"
        for each in troubles
    )
    return f'<ul class="dim">{items}</ul>' if items else ""


def _coded(text: str) -> str:
    """With what stands between backticks as code."""
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(escape(text).split("`")))


# --- who is heard -------------------------------------------------------------------------------------------------------


def _agents(fleet: View) -> str:
    caption = "Each site decides for itself. Who is cut off goes on within its own part of each limit."
    rows = [_agent(each, fleet) for each in fleet["agents"]]
    shown = table("fleet-agents", caption, ("agent", "state", "heard last"), rows)
    if len(rows) <= MOST_AGENTS:
        return shown
    return f'<details id="fleet-all-agents"><summary>All {len(rows)} agents</summary>{shown}</details>'


def _agent(each: View, fleet: View) -> str:
    name = each["name"]
    kind = "this site" if name == fleet["site"] else f"{each['kind']}, here" if each["here"] else each["kind"]
    word, style = {True: ("alive", "good"), False: ("cut off", "bad")}.get(each["alive"], ("not known", "dim"))
    last = {True: "", False: "never since the start here"}.get(each["alive"], "")
    if each["silent_since"] is not None:
        last = _clock(each["silent_since"])
    cells = (cell("state", word, style, say=f"Agent {name}"), cell("heard last", last))
    return row(f"agent-{name}", f'{escape(name)}<small class="dim">{kind}</small>', cells)


# --- limits -------------------------------------------------------------------------------------------------------------


def _limits(fleet: View) -> str:
    if not fleet["limits"]:
        return ""
    own = (_OWN, _HERE) if fleet["site"] is not None else ()
    caption = (
        "Limits over all sites. What a site has not said is “?”, which is not zero; one that is cut off may by now hold more than "
        "it said, up to its own part."
    )
    heads = ("limit", "over all sites", *own, _ALL, "state")
    return table("fleet-limits", caption, heads, [_limit(each, fleet["site"]) for each in fleet["limits"]])


def _limit(limit: View, site: str | None) -> str:
    mine = next((each for each in limit["sites"] if each["site"] == site), {"rights": None, "held": None})
    own = (cell(_OWN, _part(limit, mine["rights"])), cell(_HERE, _held(limit, [mine["held"]])))
    cells = (
        cell("over all sites", _bound(limit)),
        *(own if site is not None else ()),
        cell(_ALL, _held(limit, [each["held"] for each in limit["sites"]])),
        cell("state", *_state(limit), say=f"Limit {limit['name']}"),
    )
    about = _COUNTED.get(limit["kind"]) or limit["resource"]
    words = " ".join(filter(None, (limit["protocol"], about)))
    return row(f"limit-{limit['name']}", f'{escape(limit["name"])}<small class="dim">{escape(words)}</small>', cells)


def _bound(limit: View) -> str:
    if limit["kind"] == "maxShare":
        return f"at most {limit['bound']:.0%}"
    bound = limit["bound"] if limit["in_force"] is None else limit["in_force"]
    return f"at {'least' if limit['kind'] == 'minTotal' else 'most'} {in_words(limit['resource'], bound)}"


def _part(limit: View, rights: float | None) -> str:
    if limit["kind"] == "maxShare":
        return "the same share of its own"
    part = in_words(limit["resource"], rights)
    words = f"{'must' if limit['kind'] == 'minTotal' else 'may'} hold {part}"
    if limit["kind"] == "irreversibleAtOnce":
        words = f"may have {part} under way"
    return words if limit["usable"] else f"{words}, once all sites agreed; until then what it has"


def _held(limit: View, parts: Sequence[float | None]) -> str:
    """Of what is known the sum, and whether something is missing from it."""
    if limit["kind"] == "maxShare":
        return "–"
    known = [part for part in parts if part is not None]
    if not known:
        return "?"
    return in_words(limit["resource"], sum(known)) + (" + ?" if len(known) < len(parts) else "")


def _state(limit: View) -> tuple[str, str]:
    """In words, and its style."""
    if limit["kind"] == "maxShare":
        return "each site keeps it by itself", "dim"
    if limit["settled"] is None:
        return "not known", "dim"
    if not limit["sites"]:
        return "not told yet; until then none grows", "odd"
    if limit["as_declared"] is False:
        return f"not all sites declare the same; here it is {in_words(limit['resource'], limit['bound'])}", "bad"
    if not limit["settled"]:
        return f"not settled, waits for {', '.join(limit['waits_for'])}", "odd"
    return ("kept", "good") if _is_kept(limit) else ("not kept", "bad")


def _is_kept(limit: View) -> bool:
    """As far as is known here."""
    known, bound = sum(each["held"] or 0.0 for each in limit["sites"]), limit["in_force"]
    if bound is None:
        return True
    if limit["kind"] == "minTotal":
        return any(each["held"] is None for each in limit["sites"]) or bool(known >= bound)
    return bool(known <= bound)


# --- proposals ----------------------------------------------------------------------------------------------------------


def _waiting(fleet: View) -> str:
    """What waits for another site's program, and why."""
    if not fleet["waiting"]:
        return ""
    items = "".join(
        f'<li id="waits-{escape(each["id"], quote=True)}" data-say="{escape(each["id"], quote=True)} of the fleet">'
        f"<strong>{escape(each['id'])}</strong> of {escape(each['agent'])} {escape(each['sentence'])}</li>"
        for each in fleet["waiting"]
    )
    left = fleet["waiting_count"] - len(fleet["waiting"])
    more = f'<p class="dim">and {left} more: orcha fleet status</p>' if left else ""
    return f"<h3>Programs that wait for another site</h3><ul>{items}</ul>{more}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
