"""Reading the JSON of others, leniently: types that take what is odd as unknown, and refusals with a path. Pure.

A missing field, null, NaN and infinity are None, which means unknown; a text where a number belongs is another shape and
raises Malformed. Used by the modules whose APIs grow and lose fields between versions (storj, grass).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from exporters.errors import Malformed

MAX_WORD: Final = 64
"""Characters of a word that becomes a label."""


def read_number(value: Any) -> float | None:
    """A finite number, None for null, NaN and infinity; anything else is a wrong shape."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "is no number")
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def read_time(value: Any) -> float | None:
    """Unix seconds; None for null, for Go's zero time ("never") and for what is no time."""
    if not isinstance(value, str) or value[:4] in {"0000", "0001"}:
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _word(value: Any) -> str | None:
    """A word that may become a label: printable and short; anything else is unknown."""
    return value[:MAX_WORD] if isinstance(value, str) and value and value.isprintable() else None


def _listed(value: Any) -> Any:
    return () if value is None else value


def _there(value: Any) -> Any:
    return {} if value is None else value


def _kept(value: Any) -> Any:
    return value if isinstance(value, bool) else None


Number = Annotated[float | None, BeforeValidator(read_number)]
Time = Annotated[float | None, BeforeValidator(read_time)]
Word = Annotated[str | None, BeforeValidator(_word)]
Flag = Annotated[bool | None, BeforeValidator(_kept)]
LIST: Final = BeforeValidator(_listed)
PART: Final = BeforeValidator(_there)
"""Of an object: null is one that says nothing."""


class Said(BaseModel):
    """An object of an answer: camelCase, and what is not asked for is not looked at."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore")


Shape = TypeVar("Shape", bound=BaseModel)


def shaped(model: type[Shape], body: Any, what: str) -> Shape:
    """`body` as the model. Raises Malformed."""
    if not isinstance(body, dict):
        raise Malformed(f"{what} is {_kind(body)}, not an object")
    return _validated(model.model_validate, body, what)


def shaped_list(model: type[Shape], body: Any, what: str) -> tuple[Shape, ...]:
    """A list of objects; null is an empty one. Raises Malformed."""
    if body is None:
        return ()
    if not isinstance(body, list):
        raise Malformed(f"{what} is {_kind(body)}, not a list")
    return tuple(_validated(model.model_validate, row, what) for row in body)


def _validated(validate: Callable[[Any], Shape], body: Any, what: str) -> Shape:
    try:
        return validate(body)
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "it"
        raise Malformed(f"{what} is not of the shape that is known: {where}: {fault['msg'].lower()}") from exc


def _kind(body: Any) -> str:
    return {"NoneType": "null", "list": "a list", "dict": "an object", "str": "a text"}.get(
        type(body).__name__, "a number"
    )
