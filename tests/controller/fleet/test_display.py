"""Display colours of agents: the same for the same name, another for the same letters in another order."""

from __future__ import annotations

import colorsys
import itertools

from controller.fleet.display import SEED, colour_of_name

NAMES = [f"site-{number}" for number in range(200)]


def test_equal_names_have_equal_colours_for_ever():
    assert colour_of_name("attic") == colour_of_name("attic", SEED) == "#da8b50"


def test_anagrams_differ():
    words = {"".join(letters) for letters in itertools.permutations("attic")}
    assert len({colour_of_name(word) for word in words}) > 0.9 * len(words)


def test_the_colours_of_many_are_spread_over_the_whole_circle():
    hues = [
        colorsys.rgb_to_hls(*(int(colour_of_name(name)[at : at + 2], 16) / 255 for at in (1, 3, 5)))[0]
        for name in NAMES
    ]
    sixths = [sum(int(hue * 6) == part for hue in hues) for part in range(6)]
    assert min(sixths) > len(NAMES) / 6 / 2


def test_another_seed_gives_other_colours():
    assert sum(colour_of_name(name) == colour_of_name(name, SEED + 1) for name in NAMES) < 3
