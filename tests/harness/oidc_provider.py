"""The provider of tests/clients/oidc_provider in a process of its own, and what people do at its pages."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey
from playwright.sync_api import Page

from tests.conftest import missing
from tests.harness.running import eventually

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "clients" / "oidc_provider" / "provider.js"
FOLDER = ROOT / ".cache" / "oidc_provider"


@dataclass
class OidcProvider:
    """One provider. `people`: claims by the name that somebody types there."""

    name: str
    people: dict[str, dict[str, Any]]
    port: int = 0
    clients: list[dict[str, Any]] = field(default_factory=list)
    key: dict[str, Any] = field(default_factory=lambda: RSAKey.generate_key(2048, {"use": "sig"}).as_dict(private=True))
    _process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(self, hub: str) -> None:
        """Make a hub at this address its client, under the name that the provider has there."""
        at = f"{hub}/hub/oauth/{self.name}"
        self.clients = [
            {
                "client_id": f"hub-at-{self.name}",
                "client_secret": f"secret+of {self.name}/long-enough-for-hashes",
                "redirect_uris": [f"{at}/callback"],
                "post_logout_redirect_uris": [f"{at}/logout"],
                "backchannel_logout_uri": f"{at}/backchannel",
                "backchannel_logout_session_required": True,
                "scope": "openid profile email groups",
            }
        ]

    def start(self) -> None:
        """Start and wait until it listens."""
        program = FOLDER / "provider.js"
        shutil.copy(PROGRAM, program)  # beside its packages, where imports are looked for
        configuration = {
            "port": self.port,
            "key": self.key,
            "cookie": self.name,
            "clients": self.clients,
            "people": self.people,
        }
        self._process = subprocess.Popen(
            ["node", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(FOLDER / f"{self.name}.log").open("w"),
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(configuration))
        self._process.stdin.close()
        line = self._process.stdout.readline()
        assert line == "ready\n", (FOLDER / f"{self.name}.log").read_text()

    def stop(self) -> None:
        """End it: the provider is down."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def log(self) -> str:
        """What it complained about."""
        return (FOLDER / f"{self.name}.log").read_text()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def oidc_provider(name: str, people: dict[str, dict[str, Any]]) -> Iterator[OidcProvider]:
    """A provider that is registered and started by whoever knows the hub's address; it ends with the block."""
    if shutil.which("node") is None or not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        missing("Node with the package of tests/clients/oidc_provider", "bash tests/prepare.sh")
    provider = OidcProvider(name, people, free_port())
    try:
        yield provider
    finally:
        provider.stop()


def agree_at_provider(page: Page, login: str | None) -> None:
    """Sign in at the provider's own page, and consent if it asks. `login` None: it knows already who it is."""
    page.wait_for_url("**/interaction/*")
    origin = page.url.partition("/interaction/")[0]
    if login is not None:
        asking = page.url
        page.locator('input[name="login"]').fill(login)
        page.locator('input[name="password"]').fill("any password will do")
        page.get_by_role("button", name="Sign-in").click()
        page.wait_for_url(lambda address: address != asking)
    consent = page.get_by_role("button", name="Continue")
    if eventually(lambda: consent.count() or (not page.url.startswith(origin) and -1), what="consent or return") > 0:
        consent.click()
