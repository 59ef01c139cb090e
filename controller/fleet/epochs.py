"""Epochs: what is over is forgotten, so that memory stays bounded. Pure; the time of day is an argument.

Terms, equalities and proposals belong to the epoch in which they were written; an epoch is a stretch of time, by each
agent's own clock. Who enters the next one writes what it still has open again there, and says then in which epoch it is. An
epoch that every live agent has left holds nothing that anybody needs: it is over, for all, for good. Who was dead meanwhile
finds what it had open gone, and tells it anew (proposals.py): so nothing is decided by an agent that cannot be heard.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from controller.fleet.crdt import Replica
from controller.fleet.proposals import PROPOSAL, read_proposal, rebuilt, registered

PERIOD: Final = 3600.0
"""Seconds. Shorter ones write more often what is open, longer ones keep more of what is over."""
EPOCH: Final = "epoch"
"""Each agent's counter: the epoch that it writes in."""
CLOSED: Final = "closed"
"""Each agent's counter: the last epoch that it closed. Raised so that a floor goes out at once, like any other write."""


def enter(replica: Replica, me: str, now: float, writer: str, period: float = PERIOD) -> int:
    """The epoch that one writes in now: that of one's clock, but never one before, nor one that is over. What one has open is
    written there first, and one's counter raised after it: whoever knows the counter knows what is open, too.
    """
    before = replica.counted(me, EPOCH)
    epoch = max(int(now // period), int(before), replica.floor + 1)
    if epoch > before:
        _carry(replica, me, writer, epoch)
        replica.count(me, EPOCH, epoch, writer)
    return epoch


def over(replica: Replica, alive: Iterable[str]) -> int | None:
    """The last epoch that all of these have left, None where it is closed already or there is none. `alive`: the agents that
    write what belongs to epochs, the sites; relays do not. Who was never heard to enter one may be in any.
    """
    left = min((int(replica.counted(agent, EPOCH)) for agent in alive), default=0) - 1
    return left if left > replica.floor else None


def close(replica: Replica, me: str, alive: Iterable[str], writer: str) -> int | None:
    """Close what is over, and let the others know; the epoch, None where nothing was."""
    epoch = over(replica, alive)
    if epoch is not None:
        replica.close(epoch)
        replica.count(me, CLOSED, epoch, writer)
    return epoch


def _carry(replica: Replica, me: str, writer: str, epoch: int) -> None:
    """Write one's open proposals anew, with their terms and the equalities that lead on from them."""
    mine = registered(replica, me)
    said = [read_proposal(name, json.loads(item.value.value)) for name, item in mine]
    wanted = [term for each in said if each is not None and (term := rebuilt(replica, each.term)) is not None]
    kept: set[str] = set()
    pairs = _pairs(replica)
    while wanted:
        term = wanted.pop()
        replica.add(term, writer, epoch)
        for part in term.walk():
            if part.id in kept:
                continue
            kept.add(part.id)
            for name in pairs.get(part.id, ()):
                if (other := rebuilt(replica, name)) is not None:
                    replica.equate(part, other, writer, epoch)
                    wanted.append(other)
    for name, item in mine:
        replica.write(PROPOSAL, name, json.loads(item.value.value), item.value.stamp, writer, epoch)


def _pairs(replica: Replica) -> dict[str, list[str]]:
    """Id of a term -> those that were told to equal it, sorted."""
    found = defaultdict(list)
    for one, other in sorted(replica.equalities):
        found[one].append(other)
        found[other].append(one)
    return found
