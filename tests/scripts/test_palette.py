"""scripts/_palette.py: a picture made small is the same picture to the eye, and to the pixel where its colours are few."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from scripts._palette import SIGNATURE, decode, encode


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels, filters, *, depth=8, interlaced=0):
    """A PNG of the pixels (height, width, 3 or 4) as an encoder writes it that uses these filters, one for each line."""
    height, width, size = pixels.shape
    lines, above = b"", np.zeros(width * size, np.int32)
    for kind, row in zip(filters, pixels.reshape(height, -1).astype(np.int32), strict=True):
        left = np.concatenate([np.zeros(size, np.int32), row[:-size]])
        corner = np.concatenate([np.zeros(size, np.int32), above[:-size]])
        guess = [np.zeros_like(row), left, above, (left + above) // 2, paeth(left, above, corner)][kind]
        lines += bytes([kind]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, depth, 2 if size == 3 else 6, 0, 0, interlaced)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(kind, body) for kind, body in parts)


def paeth(left, above, corner):
    a, b, c = (abs(above - corner), abs(left - corner), abs(left + above - 2 * corner))
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))


def indexed(made):
    """Pixels of a PNG with a palette whose lines use no filter, which is what encode() makes."""
    parts, at = {}, len(SIGNATURE)
    while at < len(made):
        (length,) = struct.unpack(">I", made[at : at + 4])
        parts[made[at + 4 : at + 8]] = made[at + 8 : at + 8 + length]
        at += length + 12
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    palette = np.frombuffer(parts[b"PLTE"], np.uint8).reshape(-1, 3)
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, width + 1)
    return palette[lines[:, 1:]], palette


@pytest.mark.parametrize("size", [3, 4], ids=["rgb", "rgba"])
def test_each_filter_of_png_is_undone(size):
    pixels = np.random.default_rng(1).integers(0, 256, (10, 7, size), dtype=np.uint8)
    assert np.array_equal(decode(png(pixels, [0, 1, 2, 3, 4, 4, 3, 2, 1, 0])), pixels[:, :, :3])


def test_a_picture_of_few_colours_stays_as_it_is():
    colours = np.random.default_rng(2).integers(0, 256, (200, 3), dtype=np.uint8)
    pixels = colours[np.random.default_rng(3).integers(0, 200, (40, 60))]
    shown, _ = indexed(encode(pixels))
    assert np.array_equal(shown, pixels)


def test_many_colours_become_the_nearest_of_256():
    across, down = np.meshgrid(np.arange(64), np.arange(64))
    pixels = np.stack([across * 4, down * 4, (across + down) * 2], axis=2).astype(np.uint8)
    shown, palette = indexed(encode(pixels))
    assert len(palette) == 256
    assert np.abs(shown.astype(int) - pixels).max() <= 24


def test_a_thin_line_of_its_own_colour_is_not_lost_among_many_shades():
    shades = np.arange(300) % 100
    pixels = np.repeat(np.stack([shades, shades + 1, shades // 2], axis=1)[None].astype(np.uint8), 200, axis=0)
    pixels[100, 50:60] = [255, 0, 0]
    shown, _ = indexed(encode(pixels))
    assert shown[100, 55].tolist() == [255, 0, 0]


def test_another_kind_of_png_is_refused():
    pixels = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ValueError, match="without interlacing"):
        decode(png(pixels, [0, 0], interlaced=1))
