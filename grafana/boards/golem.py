"""Golem: what is offered and at what price, what runs, what is billed and whether it is paid."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards.workloads import own, polled, resourced, shared
from grafana.figures import ALARM, BAD, BYTES, COUNT, GOOD, TOKENS, WARN, Figure
from grafana.panels import Look, Place, bars, graph, stats
from grafana.queries import Query, deduped, shown_counted
from grafana.sdk import dashboard

SCOPE: Final = own("golem")
STATUSES: Final = {
    "ISSUED": "#8AB8FF",
    "RECEIVED": "#5794F2",
    "ACCEPTED": "#F2CC0C",
    "SETTLED": "#73BF69",
    "REJECTED": "#F2495C",
    "FAILED": "#C4162A",
    "CANCELLED": "#B877D9",
}
EVENTS: Final = {
    "proposed": "#8AB8FF",
    "approved": "#73BF69",
    "rejected": "#F2495C",
    "cancelled": "#FF9830",
    "terminated": "#B877D9",
}


def of(family: str, more: str = "") -> str:
    return SCOPE.of_workload(f"orcha_golem_{family}", more)


def total(family: str) -> list[Query]:
    return [Query(f"sum({deduped(of(family))})")]


def offered() -> list[dashboard.Panel]:
    small = Place(4, 4)
    return [
        stats(
            "Offers",
            "Offers that are published now.",
            total("offers"),
            COUNT.but(steps=((None, BAD), (1.0, GOOD))),
            small,
        ),
        stats(
            "Agreements",
            "Agreements that run, on main networks and on test networks.",
            [Query(f"sum by (network) ({deduped(of('agreements_running'))})", "{{network}}")],
            COUNT,
            small,
        ),
        stats("Threads offered", "CPU threads of the published offers.", total("offered_cpu_threads"), COUNT, small),
        stats("Memory offered", "Memory of the published offers.", total("offered_memory_bytes"), BYTES, small),
        stats("Storage offered", "Storage of the published offers.", total("offered_storage_bytes"), BYTES, small),
        stats(
            "Payment problems",
            "Problems that the payment driver reports now.",
            [Query(f"sum({deduped(of('payment_problems'))})")],
            COUNT.but(steps=((None, GOOD), (1.0, BAD))),
            small,
        ),
    ]


def working() -> list[dashboard.Panel]:
    activities, events = deduped(of("activities")), of("agreement_events_total")
    ended = of("activities_destroyed_total")
    return [
        graph(
            "Activities",
            "Activities of the running agreements, by state.",
            [Query(f"sum by (state) ({activities})", "{{state}}")],
            COUNT.but(least=0.0, none="nothing runs"),
            Place(8, 8),
            Look(stacked=True, stepped=True, points=100),
        ),
        graph(
            "Agreements over time",
            "What became of agreements: how many in each hour, or in each bar over long times.",
            [Query(shown_counted(events, "event"), "{{event}}")],
            COUNT.but(least=0.0),
            Place(8, 8),
            Look(colours=EVENTS, bars=True, stacked=True, every="1h"),
        ),
        graph(
            "Activities that ended",
            "How many in each bar, by who ended them: unresponsive requestors pay late or never.",
            [Query(shown_counted(ended, "cause"), "{{cause}}")],
            COUNT.but(least=0.0),
            Place(8, 8),
            Look(
                colours={"ended": GOOD, "requestor": "#5794F2", "unresponsive": BAD},
                bars=True,
                stacked=True,
                every="1h",
            ),
        ),
    ]


def billed() -> list[dashboard.Panel]:
    return [
        bars(
            "Invoices by status",
            "Number of invoices of the last 30 days.",
            [Query(f"sum by (status) ({deduped(of('invoices'))})", "{{status}}")],
            COUNT.but(none="no invoice yet"),
            Place(6, 10),
            colours=STATUSES,
        ),
        bars(
            "Invoiced by status",
            "Amounts of the invoices of the last 30 days, in GLM.",
            [Query(f"sum by (status) ({deduped(of('invoiced_glm'))})", "{{status}}")],
            GLM.but(none="no invoice yet"),
            Place(6, 10),
            colours=STATUSES,
        ),
        bars(
            "Debit notes by status",
            "Newest debit notes of work that has no invoice yet.",
            [Query(f"sum by (status) ({deduped(of('debit_notes'))})", "{{status}}")],
            COUNT.but(none="no debit note"),
            Place(6, 10),
            colours=STATUSES,
        ),
        graph(
            "Received",
            "GLM received on main networks, in each bar: an hour, or more over long times.",
            [Query(shown_counted(of("received_glm_total"), "protocol"), "{{protocol}}")],
            GLM.but(least=0.0, none="nothing was received"),
            Place(6, 10),
            Look(bars=True, every="1h"),
        ),
    ]


GLM: Final[Figure] = TOKENS.but(unit="suffix:GLM", decimals=3)


def priced() -> list[dashboard.Panel]:
    prices = deduped(of("price_glm_per_hour"))
    return [
        graph(
            "Prices",
            "Published price of an hour, by usage counter: the cheapest of the chosen nodes.",
            [Query(f"min by (counter) ({prices})", "{{counter}}")],
            GLM.but(unit="suffix:GLM/h", decimals=4, least=0.0),
            Place(12, 7),
            Look(stepped=True),
        ),
        stats(
            "Start of an activity",
            "Published price of starting one.",
            [Query(f"min({of('start_price_glm')})")],
            GLM.but(decimals=None),
            Place(4, 7),
        ),
        stats(
            "Accounts",
            "Accounts ready to receive, by kind of network.",
            [Query(f"sum by (network) ({deduped(of('provider_accounts'))})", "{{network}}")],
            COUNT,
            Place(4, 7),
        ),
        stats(
            "Newer yagna",
            "Whether a newer release of yagna exists for one of the chosen nodes.",
            [Query(f"max({of('update_available')})")],
            ALARM.but(words=(("0", "no", GOOD), ("1", "yes", WARN))),
            Place(4, 7),
        ),
    ]


BOARD: Final = Board(
    uid="orcha-golem",
    title="orcha / Golem",
    link="Golem",
    words="Golem providers: what they offer and at what price, what runs, what is billed and whether it is paid.",
    variables=("node", "workload"),
    fixed="golem",
    rows=(
        shared(SCOPE),
        Row("What they have and use", resourced(SCOPE, ("cpu", "memory", "storage"), Place(8, 8))),
        Row("Offers", offered()),
        Row("Work", working()),
        Row("Bills", billed()),
        Row("Prices", priced()),
        polled(SCOPE),
    ),
)
