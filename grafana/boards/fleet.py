"""Many sites: who hears whom, whether all know the same, how messages fare, and what each may hold of the fleet's limits."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.figures import ALARM, BAD, BYTES_PER_SECOND, COUNT, EMPTY, GOOD, NEUTRAL, SECONDS, SHARE, WARN, YES, Figure
from grafana.panels import Look, Place, graph, stats
from grafana.queries import Query, deduped, of_process, quantile
from grafana.sdk import dashboard
from grafana.special import matrix, network
from grafana.tables import Column, rows

HEALTH: Final = deduped(of_process("orcha_fleet_agent_health_ratio"))
HEARD: Final = f"avg by (agent) ({HEALTH})"
TOOK: Final = of_process("orcha_fleet_message_latency_seconds_bucket")
LOST: Final = SHARE.but(decimals=0, steps=((None, BAD), (0.01, WARN), (0.5, GOOD)))
AMOUNT: Final = Figure(unit="short")
APART: Final = SECONDS.but(decimals=0, steps=((None, GOOD), (60.0, WARN), (900.0, BAD)))
BOUND: Final = of_process("orcha_fleet_limit")
SETTLED: Final = YES.but(words=(("0", "no", WARN), ("1", "yes", GOOD)))
"""No is normal for a while."""
NOBODY: Final = "no agent is scraped"


def own(family: str, more: str = "") -> str:
    """Of each agent, as it says itself."""
    return f"max by (agent) ({of_process(f'orcha_fleet_{family}', more)})"


def part(family: str) -> str:
    """Of each site and limit: as the site itself says, else as others have heard."""
    by = "max by (limit, kind, resource, agent)"
    of = f"orcha_fleet_limit_{family}"
    return f"""{by} ({of_process(of, 'told="own"')}) or {by} ({of_process(of, 'told="heard"')})"""


def summary() -> list[dashboard.Panel]:
    place = Place(4, 4)
    return [
        stats(
            "Agents that live",
            "Sites and relays that the one hears that hears the fewest.",
            [Query(f"min({of_process('orcha_fleet_agents', _ALIVE)})")],
            COUNT.but(none=NOBODY),
            place,
        ),
        stats(
            "Cut off",
            "Agents that fewer than half of the others hear.",
            [Query(f"sum(avg by (agent) ({HEALTH} > bool 0) < bool 0.5)")],
            COUNT.but(steps=((None, GOOD), (1.0, BAD)), words=(("0", "none", GOOD),), none=NOBODY),
            place,
        ),
        stats(
            "All know the same",
            "Whether every agent knows what all that it hears know; no: messages are on their way, or something is wrong.",
            [Query(f"min({of_process('orcha_fleet_converged')})")],
            SETTLED.but(none=NOBODY),
            place,
        ),
        stats(
            "Apart for",
            "For how long agents that hear each other have differed by now.",
            [Query(f"max({of_process('orcha_fleet_apart_seconds')})")],
            APART.but(none=NOBODY),
            place,
        ),
        stats(
            "Last convergence took",
            "How long it took the last time until all knew the same again.",
            [Query(f"max({of_process('orcha_fleet_convergence_seconds')})")],
            SECONDS.but(none="they never differed"),
            place,
        ),
        stats(
            "Limits are settled",
            "Whether every site keeps within the newest wording of each limit; no: some still keep within an older one, too.",
            [Query(f"min({of_process('orcha_fleet_limit_settled')})")],
            SETTLED.but(none="no limit is shared"),
            place,
        ),
    ]


_ALIVE: Final = 'state="alive"'


def who() -> list[dashboard.Panel]:
    return [
        network(
            "Topology",
            "Who talks with whom. A ring is as full as the others hear the agent; one without a ring is cut off from all.",
            Query(_named(f"{HEARD} or {own('transport_connected')}")),
            Query(
                f'label_join(max by (source, target) ({of_process("orcha_fleet_edge")}), "id", " - ", "source", "target")'
            ),
            SHARE.but(decimals=0, none=NOBODY),
            Place(11, 12),
        ),
        rows(
            "Agents",
            "Each agent as the others hear it, and as it says itself: whether it reaches its servers, writes its disk, and "
            "remembers all that it promised. What is not scraped says nothing of itself.",
            [
                Query(HEARD),
                Query(own("converged")),
                Query(own("transport_connected")),
                Query(own("state_write_success")),
                Query(own("trusted")),
                Query(own("registers")),
                Query(own("epoch_floor")),
            ],
            [
                Column(field="agent", title="Agent"),
                Column(field="A", title="Heard", figure=LOST, cell="color-text", width=80),
                Column(field="B", title="Agrees", figure=SETTLED, cell="color-text", width=80),
                Column(field="C", title="Connected", figure=YES, cell="color-text", width=95),
                Column(field="D", title="Disk", figure=YES.but(words=_DISK), cell="color-text", width=70),
                Column(field="E", title="Remembers", figure=YES, cell="color-text", width=95),
                Column(field="F", title="Registers", figure=COUNT, width=90),
                Column(field="G", title="Epochs over", figure=COUNT, width=100),
            ],
            Place(13, 12),
            none=NOBODY,
            sort="Agent",
            ascending=True,
        ),
    ]


_DISK: Final = (("0", "fails", BAD), ("1", "well", GOOD))


def _named(expr: str) -> str:
    """With the agent's name where a node graph looks for it."""
    for label in ("id", "title"):
        expr = f'label_join({expr}, "{label}", "", "agent")'
    return expr


def over_time() -> list[dashboard.Panel]:
    return [
        graph(
            "Health",
            "How well the others hear each agent: 1 a heartbeat came just now, 0 none came within the timeout.",
            [Query(HEARD, "{{agent}}")],
            SHARE.but(decimals=0, steps=((None, NEUTRAL),), none=NOBODY),
            Place(12, 8),
        ),
        graph(
            "Apart",
            "For how long each agent and those that it hears have differed: peaks are normal, a slope that goes on is not.",
            [Query(own("apart_seconds"), "{{agent}}")],
            APART.but(least=0.0, none=NOBODY),
            Place(12, 8),
        ),
    ]


def messages() -> list[dashboard.Panel]:
    arrived, failed = of_process("orcha_fleet_messages_total"), of_process("orcha_fleet_errors_total")
    sent = of_process("orcha_fleet_sent_bytes_total")
    latencies = (("half", 0.5), ("95 of 100", 0.95), ("99 of 100", 0.99))
    return [
        graph(
            "Messages",
            "Messages that arrive in a second, by kind, at all agents that are scraped.",
            [Query(f"sum by (kind) (rate({arrived}[$__rate_interval]))", "{{kind}}")],
            Figure(unit="suffix:/s", decimals=1, least=0.0, none=NOBODY),
            Place(8, 8),
            Look(stacked=True),
        ),
        graph(
            "Latency",
            "From sending a message over an edge to its receipt: so many were faster.",
            [Query(quantile(share, TOOK), name) for name, share in latencies],
            SECONDS.but(decimals=None, least=0.0, words=EMPTY, none=NOBODY),
            Place(8, 8),
        ),
        graph(
            "Sent",
            "Bytes that each agent sends in a second, to all its neighbours.",
            [Query(f"sum by (via) (rate({sent}[$__rate_interval]))", "{{via}}")],
            BYTES_PER_SECOND.but(least=0.0, none=NOBODY),
            Place(8, 8),
        ),
        matrix(
            "Latency from row to column",
            "95 of 100 messages over this edge were faster, in the chosen time. Empty: the two do not talk, or neither is scraped.",
            Query(f"{quantile(0.95, TOOK, 'via, to', '$__range')} >= 0"),
            SECONDS.but(decimals=None, steps=((None, GOOD), (0.1, "yellow"), (0.5, WARN), (2.0, BAD)), none=NOBODY),
            Place(14, 11),
        ),
        graph(
            "Messages that were lost or refused",
            "In a second, by what went wrong. What is lost is sent again by the next sync round.",
            [Query(f"sum by (what) (rate({failed}[$__rate_interval]))", "{{what}}")],
            Figure(unit="suffix:/s", decimals=2, least=0.0, none="nothing was lost"),
            Place(10, 11),
            Look(top=1.0),
        ),
    ]


def limits() -> list[dashboard.Panel]:
    return [
        rows(
            "What each site may hold",
            "Rights are a site's own part of a limit: it holds no more, also when it is cut off (of minTotal: no less). What "
            "nobody wants goes to who wants more.",
            [Query(part("rights")), Query(part("held")), Query(part("wanted"))],
            [
                Column(field="limit", title="Limit"),
                Column(field="kind", title="Kind", width=130),
                Column(field="resource", title="Of", width=90),
                Column(field="agent", title="Site"),
                Column(field="A", title="Rights", figure=AMOUNT, width=90),
                Column(field="B", title="Held", figure=AMOUNT, width=90),
                Column(field="C", title="Wanted", figure=AMOUNT, width=90),
            ],
            Place(14, 9),
            none="no limit is shared",
            sort="Limit",
            ascending=True,
        ),
        graph(
            "Held of each limit",
            "What all sites hold together, over the bound: never above 100 %, and of minTotal never below.",
            [
                Query(
                    f"sum by (limit, kind) ({part('held')}) / (max by (limit, kind) ({BOUND}) > 0)",
                    "{{limit}} {{kind}}",
                )
            ],
            SHARE.but(decimals=0, most=None, steps=((None, NEUTRAL), (1.0, WARN)), none="no limit is shared"),
            Place(10, 9),
            Look(stepped=True, soft=0.0, top=1.05, line=True),
        ),
    ]


def shared() -> list[dashboard.Panel]:
    disk = f"1 - min by (agent) ({of_process('orcha_fleet_state_write_success')})"
    return [
        stats(
            "Proposals",
            "Programs that sites propose, by what comes of them: they go, wait for another site's, or cancel out.",
            [Query(f"max by (state) ({of_process('orcha_fleet_proposals')})", "{{state}}")],
            COUNT.but(none="none"),
            Place(6, 8),
            names=True,
        ),
        graph(
            "What is known",
            "Terms of programs, at the agent that knows the most; epochs that are over take them away again.",
            [
                Query(f"max({of_process('orcha_fleet_terms')})", "terms"),
                Query(f"max({of_process('orcha_fleet_equalities')})", "equalities"),
                Query(f"max({of_process('orcha_fleet_registers')})", "registers"),
            ],
            COUNT.but(least=0.0, none=NOBODY),
            Place(9, 8),
        ),
        graph(
            "Disks that fail",
            "1 where an agent's last write failed: it sends nothing new until one succeeds.",
            [Query(disk, "{{agent}}")],
            COUNT.but(least=0.0, most=1.0, words=ALARM.words, none=NOBODY),
            Place(9, 8),
            Look(stepped=True),
        ),
    ]


BOARD: Final = Board(
    uid="orcha-fleet",
    title="orcha / Fleet",
    link="Fleet",
    words="Many sites: who hears whom, whether all know the same, how messages fare, and what each may hold.",
    rows=(
        Row(None, [*summary(), *who()]),
        Row("Over time", over_time()),
        Row("Messages", messages()),
        Row("Limits", limits()),
        Row("What is shared", shared()),
    ),
)
