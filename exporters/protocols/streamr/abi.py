"""What an `eth_call` needs, and no more: call data out, words in. Pure.

Layout: Solidity's contract ABI. Arguments here are static (addresses, numbers, 32-byte values), each left-padded to a
word of 32 bytes behind a selector of four; results are words, where a dynamic value is an offset in bytes to its length
and items. Whatever does not decode raises Malformed: an address without code answers `0x` and no error at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from exporters.errors import Malformed

WORD: Final = 32
MAX_ITEMS: Final = 10_000
"""Items of one array: far more sponsorships than an operator can have."""
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_MASK: Final = 2**64 - 1
_RATE: Final = 136
"""Bytes of the Keccak state that one block of input fills, for 256 bits of output."""


def _round_constants() -> tuple[int, ...]:
    """The 24 of iota, from the shift register of FIPS 202, algorithm 5."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 * (register >> 7))
        constants.append(constant)
    return tuple(constants)


def _lane_walk() -> tuple[tuple[int, int, int], ...]:
    """(from, to, left rotation) of every lane but the first, in the order of rho and pi; a lane is x + 5 y."""
    lanes, x, y = [1], 1, 0
    for _ in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        lanes.append(x + 5 * y)
    return tuple((here, there, (t + 1) * (t + 2) // 2 % 64) for t, (here, there) in enumerate(pairwise(lanes)))


_CONSTANTS: Final = _round_constants()
_WALK: Final = _lane_walk()


def _left(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & _MASK


def _permute(state: list[int]) -> list[int]:
    """Keccak-f[1600]: 25 lanes of 64 bits, 24 rounds of theta, rho with pi, chi, iota."""
    for constant in _CONSTANTS:
        column = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        mixed = [column[x - 1] ^ _left(column[(x + 1) % 5], 1) for x in range(5)]
        state = [lane ^ mixed[i % 5] for i, lane in enumerate(state)]
        moved = state.copy()
        for here, there, bits in _WALK:
            moved[there] = _left(state[here], bits)
        rows = range(0, 25, 5)
        state = [moved[y + x] ^ (~moved[y + (x + 1) % 5] & moved[y + (x + 2) % 5]) for y in rows for x in range(5)]
        state[0] ^= constant
    return state


def keccak256(data: bytes, *, pad: int = 0x01) -> bytes:
    """Ethereum's hash. It is SHA3-256 before the standard changed the padding byte (`pad` 0x06), so hashlib has no such
    function; a whole library for one hash would be much to carry. About 1 ms a block: never called per reading.
    """
    padded = bytearray(data + bytes(_RATE - len(data) % _RATE))
    padded[len(data)] ^= pad
    padded[-1] ^= 0x80
    state = [0] * 25
    for start in range(0, len(padded), _RATE):
        block = padded[start : start + _RATE]
        lanes = [int.from_bytes(block[i : i + 8], "little") for i in range(0, _RATE, 8)]
        state = _permute([a ^ b for a, b in zip(state, lanes + [0] * 8, strict=True)])
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


@lru_cache(maxsize=16384)
def checksummed(address: str) -> str:
    """An address in the mixed case that carries its checksum (EIP-55)."""
    digits = address[2:].lower()
    seed = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(h, 16) > 7 else c for c, h in zip(digits, seed, strict=False))


def encode(selector: str, *arguments: str | int) -> str:
    """Call data: a selector such as "0x7d429385", then each argument as a word; text is hexadecimal, as addresses are.

    encode("0x7d429385", "0x1111111111111111111111111111111111111111") ends in 24 zeros and 40 ones.
    """
    return selector + "".join(
        f"{argument if isinstance(argument, int) else int(argument, 16):064x}" for argument in arguments
    )


@dataclass(frozen=True, slots=True)
class Words:
    """The result of one call. Positions count words; every read checks that it is there."""

    data: bytes

    @classmethod
    def of(cls, result: Any, *, what: str = "eth_call") -> Words:
        """Raises Malformed for what is no hexadecimal text or is empty."""
        if not isinstance(result, str) or not _HEX.fullmatch(result):
            raise Malformed(f"{what} gave {str(result)[:60]!r}, which is no hexadecimal result")
        if result == "0x":
            raise Malformed(f"{what} gave an empty result: there is no contract at that address on this chain")
        return cls(bytes.fromhex(result[2:]))

    def uint(self, position: int = 0) -> int:
        return int.from_bytes(self._bytes(position * WORD, WORD), "big")

    def flag(self, position: int = 0) -> bool:
        value = self.uint(position)
        if value > 1:
            raise Malformed(f"a truth value is {value}, neither 0 nor 1; this is not the contract that was expected")
        return bool(value)

    def address(self, position: int = 0) -> str:
        """Lower case."""
        return _address(self.uint(position))

    def rows(self, width: int, position: int = 0) -> tuple[tuple[int, ...], ...]:
        """The array of structs of `width` words each, whose offset stands at a position."""
        start, count = self._tail(position)
        if count > MAX_ITEMS:
            raise Malformed(f"an array claims {count} items; this is not the contract that was expected")
        size = width * WORD
        items = self._bytes(start, count * size)
        words = [int.from_bytes(items[i : i + WORD], "big") for i in range(0, len(items), WORD)]
        return tuple(tuple(words[i : i + width]) for i in range(0, len(words), width))

    def uints(self, position: int = 0) -> tuple[int, ...]:
        """The array whose offset stands at a position."""
        return tuple(row[0] for row in self.rows(1, position))

    def addresses(self, position: int = 0) -> tuple[str, ...]:
        return tuple(_address(value) for value in self.uints(position))

    def text(self, position: int = 0) -> str:
        """The string whose offset stands at a position."""
        start, count = self._tail(position)
        return self._bytes(start, count).decode("utf-8", errors="replace")

    def _tail(self, position: int) -> tuple[int, int]:
        """(where the items begin, how many there are) of a dynamic value."""
        offset = self.uint(position)
        return offset + WORD, int.from_bytes(self._bytes(offset, WORD), "big")

    def _bytes(self, start: int, count: int) -> bytes:
        if start + count > len(self.data):
            raise Malformed(f"a result of {len(self.data)} bytes is too short for what it says it holds")
        return self.data[start : start + count]


def _address(value: int) -> str:
    if value >> 160:
        raise Malformed("a word is too large for an address; this is not the contract that was expected")
    return f"0x{value:040x}"
