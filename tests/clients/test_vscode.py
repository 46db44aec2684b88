"""VS Code: its connection sequence and its JupyterHub extension's, replayed with the libraries it is built on."""

from __future__ import annotations

from tests.harness.accounts import add_account
from tests.harness.node import run_script
from tests.harness.running import running_hub


def test_every_step_of_its_connection_holds() -> None:
    with running_hub("process") as hub:
        ada = add_account(hub, "ada")
        report = run_script("vscode", hub, ada, token=ada.token, password=ada.password)
        assert report.is_good, str(report)
