"""A user's notebooks as they pass between disk and wire: read, checked, and trusted or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hub.contents import notebooks
from hub.contents.choosing import ChoiceFile
from hub.contents.large import Data, Scratch, ScratchFile, digest_of
from hub.contents.models import Model
from hub.contents.notebook_process import NotebookProcess, Unpacked
from hub.contents.notebooks import Shown, Written
from hub.contents.pair_records import PairRecords
from hub.contents.trust import TrustStore


class Desk:
    """Applies one user's trust to notebooks. Blocking; for worker threads, not within `Owner.at_home`.

    `choices` and `pairs` are what the hub keeps of the user's choices and paired notebooks.
    """

    def __init__(self, trust: TrustStore, choices: ChoiceFile, pairs: PairRecords, process: NotebookProcess) -> None:
        self._trust = trust
        self.choices = choices
        self.pairs = pairs
        self._process = process
        self._amend: Callable[[Data], Data | None] | None = None

    def amending(self, amend: Callable[[Data], Data | None]) -> Desk:
        """A desk that shows each notebook as `amend` gives it (None: as it is), and trusts it as it trusts the file."""
        desk = Desk(self._trust, self.choices, self.pairs, self._process)
        desk._amend = amend
        return desk

    @property
    def scratch(self) -> Scratch:
        """Where the hub keeps what is too large for its memory."""
        return self._process.scratch

    def fill(self, model: Model, data: Data, digest: str) -> Shown[bytes | ScratchFile]:
        """Put the notebook file `data`, whose SHA-256 is `digest`, into the model. Raises BadRequest."""
        amended = self._amend(data) if self._amend is not None else None
        shown = self._process.show(amended or data, model.path, self._trust.has(digest))
        content = shown.content
        model.content, model.format = msgspec.Raw(content) if isinstance(content, bytes) else content, "json"
        if shown.message is not None:
            model.message = shown.message
        return shown

    def accept(self, content: Data, path: str, strip: Sequence[str] | None = None) -> Written[Data]:
        """The notebook that a client sent, as bytes for the disk. `strip` as in `notebooks.write`.

        Raises NotebookInvalid.
        """
        return self._process.write(content, path, strip)

    def unpack(self, body: ScratchFile, path: str, strip: Sequence[str] | None, before_fd: int | None) -> Unpacked:
        """The content of a large save request; see `NotebookProcess.unpack`."""
        return self._process.unpack(body, path, strip, before_fd)

    def note(self, written: Written[Data]) -> None:
        """Trust what is about to be written, if all its cells are trusted.

        That comes before the file is there: a tab that reads it at once must find it trusted.
        """
        if written.trusted:
            self._trust.add(digest_of(written.data))

    def note_amended(self, written: Written[Data], before: str) -> None:
        """As `note`, and trust it too if the file that it replaces, whose SHA-256 is `before`, was trusted."""
        if written.trusted or self._trust.has(before):
            self._trust.add(digest_of(written.data))

    def new(self) -> bytes:
        """An empty notebook, as bytes for the disk."""
        written = notebooks.write(notebooks.EMPTY, "")
        self.note(written)
        return written.data

    def trust(self, data: Data, path: str) -> None:
        """Trust these bytes from now on. Raises BadRequest when they are not a notebook."""
        self._process.show(data, path, trusted=True)
        self._trust.add(digest_of(data))
