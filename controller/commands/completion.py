"""`orcha completion SHELL`: the script with which a shell completes orcha's commands, options and names.

It is printed, never installed: what goes into a person's own files is theirs to decide.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Final

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined] # meant for others, unlisted

from controller.commands.terminal import put

_VARIABLE: Final = "_ORCHA_COMPLETE"
"""By this the script calls the program to be told what may follow."""


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="For which shell.")]) -> None:
    """Print the script that lets a shell complete commands, options and names.

    bash: echo 'eval "$(orcha completion bash)"' >> ~/.bashrc

    zsh: echo 'eval "$(orcha completion zsh)"' >> ~/.zshrc (after compinit)

    fish: orcha completion fish > ~/.config/fish/completions/orcha.fish
    """
    put(get_completion_script(prog_name="orcha", complete_var=_VARIABLE, shell=shell.value) + "\n")


def prepare() -> None:
    """Make the program answer the script: typer does so by itself only where it may also install itself."""
    if _VARIABLE in os.environ:
        completion_init()
