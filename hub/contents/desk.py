"""A user's notebooks as they pass between disk and wire: read, checked, and trusted or not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from hub.contents import notebook_process, notebooks
from hub.contents.choosing import ChoiceFile
from hub.contents.models import Model
from hub.contents.pair_records import PairRecords
from hub.contents.trust import TrustStore


class Desk:
    """Applies one user's trust to notebooks. Blocking; for worker threads, not within `Owner.at_home`.

    `choices` and `pairs` are what the hub keeps of the user's choices and paired notebooks.
    """

    def __init__(self, trust: TrustStore, choices: ChoiceFile, pairs: PairRecords) -> None:
        self._trust = trust
        self.choices = choices
        self.pairs = pairs

    def fill(self, model: Model, data: bytes, digest: str) -> notebooks.Shown:
        """Put the notebook file `data`, whose SHA-256 is `digest`, into the model. Raises BadRequest."""
        shown = notebook_process.show(data, model.path, self._trust.has(digest))
        model.content, model.format = msgspec.Raw(shown.content), "json"
        if shown.message is not None:
            model.message = shown.message
        return shown

    def accept(self, content: bytes, path: str, strip: Sequence[str] | None = None) -> notebooks.Written:
        """The notebook that a client sent, as bytes for the disk, and trusted if all its cells are.

        That comes before the file is there: a tab that reads it at once must find it trusted. `strip` as in
        `notebooks.write`. Raises NotebookInvalid.
        """
        written = notebook_process.write(content, path, strip)
        if written.trusted:
            self._trust.add(hashlib.sha256(written.data).hexdigest())
        return written

    def new(self) -> bytes:
        """An empty notebook, as bytes for the disk."""
        return self.accept(notebooks.EMPTY, "").data

    def trust_bytes(self, data: bytes) -> None:
        """Trust a notebook file that is known to be one."""
        self._trust.add(hashlib.sha256(data).hexdigest())

    def trust(self, data: bytes, path: str) -> None:
        """Trust these bytes from now on. Raises BadRequest when they are not a notebook."""
        notebook_process.show(data, path, trusted=True)
        self._trust.add(hashlib.sha256(data).hexdigest())
