"""What a command that looks once says of where the state is."""

from __future__ import annotations

import pytest

from controller.manifests import Manifests, load
from controller.once import CouldNot, state_url


def settings(tmp_path, where) -> Manifests:
    (tmp_path / "settings.yaml").write_text(
        f"apiVersion: orcha.dev/v1alpha1\nkind: Settings\nmetadata: {{name: settings}}\nspec: {{stateFile: {where}}}\n"
    )
    return load([tmp_path / "settings.yaml"], {})


def test_the_first_line_of_a_file_is_the_address(tmp_path):
    (tmp_path / "address").write_text("sqlite:////var/lib/orcha/orcha.db\n")
    assert state_url(settings(tmp_path, tmp_path / "address"), None) == "sqlite:////var/lib/orcha/orcha.db"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, r"cannot be read \(No such file"), (b"\xff\xfe\x00", "holds no text; write the state's address into it")],
    ids=["missing", "binary"],
)
def test_a_file_that_holds_no_address_is_named_with_what_it_should_hold(tmp_path, content, said):
    if content is not None:
        (tmp_path / "address").write_bytes(content)
    with pytest.raises(CouldNot, match=rf"address \(Settings spec.stateFile\) {said}"):
        state_url(settings(tmp_path, tmp_path / "address"), None)
