"""Make a picture of a screen small: at most 256 colours, which its few flat ones rarely need, and the best compression.

Chromium's pictures are 24-bit PNGs without interlacing; what comes out is a PNG with a palette. Only numpy and zlib, so
that pictures need no further package.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
Bytes = NDArray[np.uint8]


def shrink(picture: Path) -> None:
    """Write the PNG again with a palette. Raises ValueError for a PNG that is not 8-bit RGB or RGBA."""
    picture.write_bytes(encode(decode(picture.read_bytes())))


def decode(png: bytes) -> Bytes:
    """Pixels (height, width, 3) of an 8-bit RGB or RGBA picture; the alpha of a screen's picture is always full."""
    packed, header = b"", b""
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in {2, 6} or interlaced:
        raise ValueError("not an 8-bit RGB picture without interlacing")
    size = 3 if colour == 2 else 4
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * size)
    pixels = np.zeros((height, width * size), np.uint8)
    above = np.zeros(width * size, np.uint8)
    for y in range(height):
        above = pixels[y] = _unfilter(int(lines[y, 0]), lines[y, 1:], above, size)
    return pixels.reshape(height, width, size)[:, :, :3]


def _unfilter(kind: int, line: Bytes, above: Bytes, size: int) -> Bytes:
    """One line of pixels from how PNG stores it: as the difference from what is left of it, above it, or both."""
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.asarray(np.cumsum(line.reshape(-1, size), axis=0, dtype=np.uint8).reshape(-1), np.uint8)
    return _unfilter_slowly(kind, line.tolist(), above.tolist(), size)


def _unfilter_slowly(kind: int, line: list[int], above: list[int], size: int) -> Bytes:
    out = [0] * size + line
    up = [0] * size + above
    for i in range(size, len(out)):
        left, over, corner = out[i - size], up[i], up[i - size]
        guess = (left + over) // 2 if kind == 3 else _paeth(left, over, corner)
        out[i] = (out[i] + guess) & 255
    return np.array(out[size:], np.uint8)


def _paeth(left: int, over: int, corner: int) -> int:
    base = left + over - corner
    return min((left, over, corner), key=lambda value: abs(base - value))


def encode(pixels: Bytes) -> bytes:
    """A PNG with a palette of the colours that cover the picture best."""
    height, width, _ = pixels.shape
    whole = (pixels.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    colours, where, count = np.unique(whole, return_inverse=True, return_counts=True)
    palette, nearest = _palette(colours, count)
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = nearest[where.reshape(height, width)]
    body = zlib.compress(lines.tobytes(), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", body), (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(kind, part) for kind, part in parts)


def _palette(colours: NDArray[np.uint32], count: NDArray[Any]) -> tuple[Bytes, Bytes]:
    """The palette (n, 3), and for each colour the index of the nearest in it.

    Taken by turns: the colour whose distance to the nearest taken one, weighed by the root of how often it stands in
    the picture, is greatest. So rare but distinct colours (a thin line) are kept as well as the frequent ones.
    """
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.float32)
    weight = np.sqrt(count.astype(np.float32))
    distance = np.full(len(colours), np.inf, np.float32)
    nearest = np.zeros(len(colours), np.uint8)
    taken: list[int] = []
    best = int(np.argmax(count))
    while len(taken) < min(COLOURS, len(colours)):
        away = ((rgb - rgb[best]) ** 2).sum(axis=1)
        closer = away < distance
        nearest[closer], distance[closer] = len(taken), away[closer]
        taken.append(best)
        best = int(np.argmax(distance * weight))
    return rgb[taken].astype(np.uint8), nearest


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
