"""Bodies of /info and of the subgraph: older and newer ones, and wrong ones."""

from __future__ import annotations

import pytest

from exporters.errors import Malformed, RateLimited, Unauthorized, Unreachable
from exporters.protocols.streamr.sources import read_fleet, read_info, subgraph_error
from tests.exporters.protocols.streamr_rpc import subgraph


@pytest.mark.parametrize(
    ("number", "same"),
    [("7", 7), (7, 7), ("x", None), (None, None), (True, None), (-1, None), (1.5, None), ("9" * 90, None)],
)
def test_numbers_of_the_subgraph_come_as_text_or_as_numbers(number, same):
    body = subgraph(slashingsCount=number, cumulativeEarningsWei=number)
    fleet = read_fleet(body)
    assert (fleet.slashings, fleet.collected) == (same, same)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("auth error: missing API key", Unauthorized),
        ("auth error: malformed API key", Unauthorized),
        ("auth error: API key not found", Unauthorized),
        ("auth error: payment required for subsequent requests for this API key", Unauthorized),
        ("subgraph not found: EGWFdh", Malformed),
        ("bad query: missing field", Malformed),
        ("no indexers found", Unreachable),
        ("bad indexers: {0x1: Unavailable(too far behind)}", Unreachable),
        ("internal error", Unreachable),
        ("Too many requests, please try again later", RateLimited),
    ],
)
def test_the_gateways_words_with_http_200_are_named_by_who_must_act(message, kind):
    assert isinstance(subgraph_error([{"message": message}]), kind)
    with pytest.raises(kind):
        read_fleet({"errors": [{"message": message}]})


@pytest.mark.parametrize("body", [None, [], 3, {}, {"controlLayer": []}], ids=str)
def test_what_is_no_info_is_malformed(body):
    with pytest.raises(Malformed):
        read_info(body)
