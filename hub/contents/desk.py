"""A user's notebooks as they pass between disk and wire: read, checked, and trusted or not."""

from __future__ import annotations

import hashlib

import msgspec

from hub.contents import notebook_process, notebooks
from hub.contents.models import Model
from hub.contents.trust import TrustStore


class Desk:
    """Applies one user's trust to notebooks. Blocking; for worker threads, not within `Owner.at_home`."""

    def __init__(self, trust: TrustStore) -> None:
        self._trust = trust

    def fill(self, model: Model, data: bytes, digest: str) -> None:
        """Put the notebook file `data`, whose SHA-256 is `digest`, into the model. Raises BadRequest."""
        shown = notebook_process.show(data, model.path, self._trust.has(digest))
        model.content, model.format = msgspec.Raw(shown.content), "json"
        if shown.message is not None:
            model.message = shown.message

    def accept(self, content: bytes, path: str) -> bytes:
        """The notebook that a client sent, as bytes for the disk, and trusted if all its cells are.

        That comes before the file is there: a tab that reads it at once must find it trusted. Raises
        NotebookInvalid.
        """
        written = notebook_process.write(content, path)
        if written.trusted:
            self._trust.add(hashlib.sha256(written.data).hexdigest())
        return written.data

    def new(self) -> bytes:
        """An empty notebook, as bytes for the disk."""
        return self.accept(notebooks.EMPTY, "")

    def trust(self, data: bytes, path: str) -> None:
        """Trust these bytes from now on. Raises BadRequest when they are not a notebook."""
        notebook_process.show(data, path, trusted=True)
        self._trust.add(hashlib.sha256(data).hexdigest())
