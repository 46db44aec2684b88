"""``api/spec.yaml``: what the Jupyter Server API of this hub consists of, as OpenAPI, for tools that read it."""

from __future__ import annotations

from pathlib import Path

from hub.jupyter.handler import JupyterHandler

_TEXT = Path(__file__).with_name("openapi.yaml").read_bytes()


class SpecificationHandler(JupyterHandler):
    """The text."""

    def get(self, _name: str) -> None:
        """Answer it."""
        self.set_header("Content-Type", "text/x-yaml; charset=utf-8")
        self.finish(_TEXT)
