"""Notebooks that are kept as text too, or only as text: opened and saved as jupytext does. Blocking; for threads.

Of a pair, the hub remembers what both files were when they were last the same (`pair_records`). So on opening it
knows which one somebody changed: the inputs come from a changed text, the outputs from the notebook. When both were
changed, differently, it says so and neither is shown or overwritten; nor is a text that changed while its notebook
was open in a tab.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from hub.contents import checkpoints, choosing, moving, unchanged
from hub.contents.beneath import Owner
from hub.contents.desk import Desk
from hub.contents.large import LARGE_BYTES, Data, in_memory, size_of
from hub.contents.large import digest_of as digest_of_data
from hub.contents.listing import model_of
from hub.contents.models import Limits, Model, Saved
from hub.contents.notebooks import Written
from hub.contents.pair_files import Side, digest_of, latest, names_of, read_sides, refuse_lost_changes, write_together
from hub.contents.pair_records import PairRecord
from hub.contents.paths import ApiPath, parse_path
from hub.contents.stats import time_of
from hub.errors import BadRequest, Conflict, HubError
from hub.notebook_files import apart, pairs
from hub.notebook_files.choices import Choices
from hub.notebook_files.jobs import Combine, NotebookRead, ReadText, TextWritten, WriteText
from hub.notebook_files.pairs import Pair, TextFile

OLDER = 1.0
"""So many seconds may a text be older than its notebook and still be the newer one: tools write both at once."""


class _Asks(NamedTuple):
    """What a notebook's metadata says about its pairing."""

    formats: str | None
    language_extension: str | None


def fill(owner: Owner, path: ApiPath, model: Model, data: Data, digest: str, desk: Desk, limits: Limits) -> None:
    """Put the notebook at `path`, whose bytes are `data`, into the model: from both files where it is paired.

    Raises BadRequest for a text that cannot be a notebook, Conflict when both files were changed.
    """
    if pairs.is_text(path.name):
        choices = choosing.for_notebook(owner, path, desk.choices.get())
        text = in_memory(data, apart.MAX_BYTES, path)
        read = _do(owner, path, ReadText(text, _end(path), None, choices.jupytext))
        asks, as_text = _Asks(read.formats, read.language_extension or _end(path)), read.notebook
    else:
        shown = desk.fill(model, data, digest)
        choices = choosing.for_notebook(owner, path, desk.choices.get())
        asks, as_text = _Asks(shown.formats, shown.language_extension), None
    pair = _pair(path, asks, choices)
    sides = {} if pair is None else read_sides(owner, pair, limits, desk.scratch)
    if pair is None or pair.notebook not in sides or len(sides) < 2:
        if as_text is not None:
            desk.fill(model, as_text, digest)
            model.mimetype = None
        return
    known = desk.pairs.find(pair.notebook)
    inputs = _changed_text(pair, sides, known)
    notebook = sides[pair.notebook]
    seen = {name: side.digest for name, side in sides.items()}
    same = seen if known is None else known.digests
    content: Data = notebook.data
    if inputs is not None:
        combined = _combined(owner, pair, inputs, sides, known, choices)
        same = {**seen, inputs.path: ""} if combined is not None else seen
        content = combined or content
    desk.fill(model, content, notebook.digest)
    model.mimetype = None
    desk.pairs.put(_record(same, seen, asks, choices))


def of_all(owner: Owner, path: ApiPath, model: Model, digest: str | None, desk: Desk) -> str | None:
    """The digest and, in the model, the time of all files of the pair that `path` belongs to; else as they are.

    Clients ask for both before they save, to see whether somebody else has changed the file.
    """
    record = desk.pairs.find(str(path))
    if record is None:
        return digest
    found: list[str] = []
    with owner.at_home(path) as home:
        for name in record.digests:
            other = parse_path(name)
            status = home.find(other)
            if status is None:
                continue
            model.last_modified = max(model.last_modified, time_of(status.st_mtime))
            if digest is not None:
                found.append(digest if other == path else digest_of(home, other))
    return None if digest is None else hashlib.sha256("\n".join(found).encode()).hexdigest()


def save(owner: Owner, path: ApiPath, written: Written[Data], choices: Choices, desk: Desk) -> Saved:
    """Write the notebook that a client sent, with its texts.

    Raises Conflict when a text was changed by somebody else; nothing is written then.
    """
    if not pairs.is_text(path.name):
        written = unchanged.keep_bytes(owner, path, written)
    desk.note(written)
    asks = _Asks(written.formats, written.language_extension or (_end(path) if pairs.is_text(path.name) else None))
    pair = _pair(path, asks, choices)
    if pair is None and pairs.is_text(path.name):
        pair = Pair("", (TextFile(str(path), _end(path), None),))
    if pair is None:
        files: dict[str, Data] = {str(path): written.data}
    else:
        # A text has no outputs, and the child takes only so much.
        is_large = size_of(written.data) >= LARGE_BYTES
        accepted = desk.accept(written.data, str(path), ()) if is_large else written
        plain = in_memory(accepted.data, apart.MAX_BYTES, path)
        texts = {text.path: _as_text(owner, text, plain, choices) for text in pair.texts}
        files = {**({pair.notebook: written.data} if pair.notebook else {}), **texts}
    known = desk.pairs.find(str(path))
    with owner.at_home(path) as home:
        if len(files) > 1:
            refuse_lost_changes(home, path, files, known)
        wholes = write_together(home, files)
        checkpoints.ensure(home, path)
        mine = wholes[str(path)]
        model = model_of(home, path, mine.stat, "notebook")
    model.last_modified = latest(wholes)
    if len(files) > 1:
        digests = {name: digest_of_data(data) for name, data in files.items()}
        desk.pairs.put(_record(digests, digests, asks, choices))
    return Saved(model, mine.created)


class NewText(NamedTuple):
    """A new notebook that is kept as text only."""

    extension: str
    data: bytes


def new_text(owner: Owner, ext: str) -> NewText | None:
    """An empty notebook in the form that `ext` names (``.py``, ``py:percent``, ``md:myst``); None: an ordinary one."""
    end, _, name = ext.partition(":")
    end = end if end.startswith(".") else f".{end}"
    if not pairs.is_text(f"x{end}"):
        return None
    metadata = {"jupytext": {"formats": f"{end[1:]}:{name}" if name else end[1:]}}
    notebook = msgspec.json.encode({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    text = apart.do(WriteText(notebook, end, name or None), TextWritten, f"Untitled{end}", _uid(owner))
    return NewText(end, text.text)


def follow(owner: Owner, old: ApiPath, new: ApiPath, desk: Desk, limits: Limits) -> None:
    """After the rename of a notebook: its texts get their new names too, where nothing has them.

    A text that is renamed leaves its notebook, and so does one that differs from a notebook that was changed too:
    that is how people keep both.
    """
    record = desk.pairs.find(str(old))
    if record is None:
        return
    desk.pairs.forget(str(old))
    asks = _Asks(record.formats, record.language_extension)
    before, after = _pair(old, asks, Choices()), _pair(new, asks, Choices())
    if before is None or after is None or before.notebook != str(old) or {*names_of(before)} != {*record.digests}:
        return
    now = read_sides(owner, Pair(after.notebook, before.texts), limits, desk.scratch)
    is_changed = now[after.notebook].digest != record.digests[before.notebook]
    texts = {text.path: now.get(text.path) for text in before.texts}
    if is_changed and any(side and side.digest != record.digests[name] for name, side in texts.items()):
        return
    moved = {str(old): str(new)}
    for source, target in zip(before.texts, after.texts, strict=True):
        with suppress(HubError):
            moving.rename(owner, parse_path(source.path), parse_path(target.path), limits)
            moved[source.path] = target.path
    if len(moved) == len(record.digests):
        same = {moved[name]: digest for name, digest in record.digests.items()}
        seen = {moved[name]: digest for name, digest in record.seen.items()}
        desk.pairs.put(PairRecord(same, seen, record.formats, record.language_extension))


def _record(same: Mapping[str, str], seen: Mapping[str, str], asks: _Asks, choices: Choices) -> PairRecord:
    return PairRecord(dict(same), dict(seen), asks.formats or choices.pair or "", asks.language_extension)


def _pair(path: ApiPath, asks: _Asks, choices: Choices) -> Pair | None:
    """The pair that the notebook's metadata, else a choice, makes of it. What is not understood makes none."""
    wanted = asks.formats if asks.formats is not None else choices.pair
    if not wanted:
        return None
    try:
        pair = pairs.pair_of(str(path), pairs.parse_formats(wanted, asks.language_extension))
        for name in () if pair is None else names_of(pair):
            parse_path(name)
    except BadRequest:
        return None
    return pair


def _changed_text(pair: Pair, sides: Mapping[str, Side], known: PairRecord | None) -> TextFile | None:
    """The text whose inputs are newer than the notebook's, as far as digests tell; None: the notebook is enough.

    Raises Conflict when several texts were changed.
    """
    texts = [text for text in pair.texts if text.path in sides]
    if known is None:
        return max(texts, key=lambda text: sides[text.path].changed_at)
    changed = [text for text in texts if known.digests.get(text.path) != sides[text.path].digest]
    if len(changed) > 1:
        raise _conflict([text.path for text in changed])
    return changed[0] if changed else None


def _combined(
    owner: Owner,
    pair: Pair,
    inputs: TextFile,
    sides: Mapping[str, Side],
    known: PairRecord | None,
    choices: Choices,
) -> bytes | None:
    """The notebook with the inputs of the text; None when it has them already.

    Raises Conflict when a change of the notebook's would be lost.
    """
    text, notebook = sides[inputs.path], sides[pair.notebook]
    one = in_memory(text.data, apart.MAX_BYTES, inputs.path)
    other = in_memory(notebook.data, apart.MAX_BYTES, pair.notebook)
    job = Combine(one, other, inputs.extension, inputs.format_name, choices.jupytext)
    read = _do(owner, parse_path(inputs.path), job)
    if read.is_same:
        return None
    if known is None:
        is_newer = text.changed_at + OLDER >= notebook.changed_at
    else:
        is_newer = known.digests.get(pair.notebook) == notebook.digest
    if not is_newer:
        raise _conflict([pair.notebook, inputs.path])
    return read.notebook


def _conflict(names: list[str]) -> Conflict:
    shown = " and ".join(names)
    return Conflict(
        f"{shown} belong together, and each was changed without the other. Nothing was lost: open them as text to "
        f"compare them, then delete the one that you do not want, or rename {names[-1]} to keep both."
    )


def _as_text(owner: Owner, text: TextFile, notebook: bytes, choices: Choices) -> bytes:
    job = WriteText(notebook, text.extension, text.format_name, choices.jupytext)
    return apart.do(job, TextWritten, text.path, _uid(owner)).text


def _do(owner: Owner, path: ApiPath, job: ReadText | Combine) -> NotebookRead:
    return apart.do(job, NotebookRead, str(path), _uid(owner))


def _uid(owner: Owner) -> int | None:
    return owner.uid if owner.impersonate else None


def _end(path: ApiPath) -> str:
    return PurePosixPath(path.name).suffix
