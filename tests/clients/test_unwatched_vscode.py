"""VS Code: a cell runs on without it, nothing is written for a notebook that is not here, what it missed is kept."""

from __future__ import annotations

from tests.harness.accounts import add_account
from tests.harness.node import run_script
from tests.harness.running import running_hub


def test_what_vs_code_did_not_get_is_kept_and_nothing_is_written() -> None:
    with running_hub("process") as hub:
        ada = add_account(hub, "ada")
        report = run_script("vscode_unwatched", hub, ada, token=ada.token)
        assert report.is_good, str(report)
        assert [file.name for file in ada.home.glob("*.ipynb")] == ["shared.ipynb"]
