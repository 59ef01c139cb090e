"""A Reading is never changed, only made again."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from exporters.reading import Connection, Native, Reading, changed

READING = Reading(
    "rack-1", "storj", "storj", 1_760_000_000.0, healthy=True, native=Native({"STORJ": 0.1}), used={"storage": 5.0}
)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"connection": Connection.FAILED}, id="one"),
        pytest.param({field.name: field.name for field in fields(Reading)}, id="everything"),
    ],
)
def test_a_changed_reading_is_what_replace_gives_and_the_first_one_stays(changes: dict[str, Any]) -> None:
    before = replace(READING)
    assert changed(READING, **changes) == replace(READING, **changes)
    assert before == READING


def test_a_changed_reading_is_as_frozen_as_any() -> None:
    with pytest.raises(FrozenInstanceError):
        changed(READING, up=False).up = True  # type: ignore[misc]  # that is what must fail


def test_what_a_reading_does_not_have_cannot_be_changed() -> None:
    with pytest.raises(KeyError):
        changed(READING, rate=1.0)
