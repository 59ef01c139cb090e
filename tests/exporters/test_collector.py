"""What the one guarded look does with figures that cannot be, and with those that were reckoned from them."""

from __future__ import annotations

import pytest

from exporters.collector import possible
from exporters.reading import Native, Quality, Reading


def reading(used: float, quality: Quality) -> Reading:
    native = Native({"AKT": 0.4}, None, {"accrued": {"AKT": 9.0}})
    return Reading(
        "rack-1", "akash", "mapped", 0.0, quality=quality, native=native, used={"cpu": used}, allocated={"cpu": 4.0}
    )


def test_a_use_that_cannot_be_takes_what_was_reckoned_from_it_along():
    found = possible(reading(80.0, Quality.ESTIMATED))
    assert found.used == {}
    assert found.native.gross_per_hour == {}
    assert found.native.net_per_hour == {}
    assert found.native.balance == {"accrued": {"AKT": 9.0}}, "what was credited stands"
    assert any("reckoned from that use" in note for note in found.notes)


def test_what_was_credited_stands_whatever_the_use():
    assert possible(reading(80.0, Quality.MEASURED)).native.gross_per_hour == {"AKT": 0.4}


@pytest.mark.parametrize("quality", [Quality.ESTIMATED, Quality.MEASURED])
def test_a_use_that_can_be_is_left_alone(quality):
    asked = reading(3.0, quality)
    assert possible(asked) is asked
