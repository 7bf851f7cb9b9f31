"""A process before its service starts."""

import pytest

from summit_runtime.process import main
from summit_runtime.settings import ProcessSettings


def test_a_process_takes_no_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A command for a service's container would otherwise be ignored, and a second service would start."""
    monkeypatch.setattr("sys.argv", ["projector", "python", "-m", "summit_projector.rebuild"])
    with pytest.raises(SystemExit) as end:
        main("projector", ProcessSettings, pytest.fail)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "projector takes no arguments, only environment variables: docs/operations.md has them\n"
    )
