"""Sentences about steps, for the journal and for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.estimate.words import amount

if TYPE_CHECKING:
    from controller.programs import Step
    from exporters.reading import Reading


def step_words(step: Step) -> str:
    """Such as: rack-1/golem 4 → 6 cpu."""
    before, after = (amount(step.resource, each[step.resource]) for each in (step.before, step.after))
    return f"{step.key} {before} → {after} {step.resource}"


def held_words(step: Step, reading: Reading) -> str:
    """Such as: rack-1/golem reports 4 cpu."""
    has = reading.allocated.get(step.resource)
    configured = reading.configured.get(step.resource)
    shown = "an unknown amount of" if has is None else amount(step.resource, has)
    beside = "" if configured is None or configured == has else f" ({amount(step.resource, configured)} configured)"
    return f"{step.key} reports {shown} {step.resource}{beside}"


def late_words(step: Step, missing: str, waited: str) -> str:
    """Why a step is given up."""
    return f"{step.key} was given {amount(step.resource, step.target[step.resource])} {step.resource}, and {waited} later {missing}"
