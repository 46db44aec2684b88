"""The kernel images that kernelhub builds (deploy/images), by name."""

from __future__ import annotations

from collections.abc import Mapping

IMAGES: Mapping[str, str | None] = {
    "minimal": None,
    "datascience": "minimal",
    "r": "minimal",
    "bash": "minimal",
    "octave": "minimal",
    "xeus-python": "minimal",
    "javascript": "minimal",
    "julia": "minimal",
    "conda": None,
}
"""The images of deploy/images, and which of them each builds on; None: on a base from elsewhere."""
USUAL = ("minimal", "datascience")
"""Those that are built when none is named."""


def tag_of(name: str) -> str:
    """The tag of one of IMAGES."""
    return f"kernelhub/{name}:latest"
