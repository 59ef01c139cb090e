"""As much of Ethereum's ABI as a simulated chain needs: words in, words out. Vectors: reference streamr appendix B."""

from __future__ import annotations

from typing import Final

WEI: Final = 10**18
_MASK: Final = 2**256 - 1


def uint(value: int) -> str:
    """One word: 64 hex digits."""
    return f"{value & _MASK:064x}"


def boolean(value: bool) -> str:
    return uint(int(value))


def address(value: str) -> str:
    return value.removeprefix("0x").lower().rjust(64, "0")


def uints(values: list[int]) -> str:
    return uint(len(values)) + "".join(map(uint, values))


def addresses(values: list[str]) -> str:
    return uint(len(values)) + "".join(map(address, values))


def text(value: str) -> str:
    raw = value.encode()
    return uint(len(raw)) + raw.hex().ljust(-(-len(raw) // 32) * 64, "0")


def tuple_of(*parts: str | tuple[str]) -> str:
    """Words of a result: a str is static, a 1-tuple is a dynamic part that goes to the tail behind its offset."""
    head = 32 * len(parts)
    words, tail = "", ""
    for part in parts:
        if isinstance(part, str):
            words += part
        else:
            words += uint(head + len(tail) // 2)
            tail += part[0]
    return words + tail


def argument(data: str, index: int) -> int:
    """The index-th word behind the selector. Raises ValueError where the data is too short."""
    start = 10 + 64 * index
    word = data[start : start + 64]
    if len(word) != 64:
        raise ValueError(f"argument {index} is missing")
    return int(word, 16)


def address_argument(data: str, index: int) -> str:
    return f"0x{argument(data, index) & (2**160 - 1):040x}"


def to_wei(tokens: float) -> int:
    """Whole tokens in wei, to the microtoken: a float holds no more anyway."""
    return round(tokens * 10**6) * 10**12
