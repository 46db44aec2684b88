"""Notebooks without their outputs, by nbstripout's rules. Pure.

Outputs and execution counts go, and what only says how a page looked (`LAYOUT_KEYS`, which are nbstripout's own).
A cell keeps its outputs when its metadata has ``keep_output: true`` or ``init_cell: true``, or its tags have
``keep_output``; a notebook does when its metadata has ``keep_output: true``. Unlike nbstripout's command, cell
ids stay: the open tab knows its cells by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hub.errors import NotebookInvalid
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import nbstripout
else:
    nbstripout = lazily("nbstripout")

LAYOUT_KEYS = (
    "metadata.signature",
    "metadata.widgets",
    "cell.metadata.collapsed",
    "cell.metadata.ExecuteTime",
    "cell.metadata.execution",
    "cell.metadata.heading_collapsed",
    "cell.metadata.hidden",
    "cell.metadata.scrolled",
)


def strip(notebook: Any, keys: Sequence[str] = ()) -> Any:
    """The notebook, a valid NotebookNode, changed in place. `keys` are more keys to remove, as nbstripout spells them.

    Raises NotebookInvalid when a cell says both that its outputs stay and that they do not.
    """
    try:
        return nbstripout.strip_output(notebook, None, keep_count=False, keep_id=True, extra_keys=[*LAYOUT_KEYS, *keys])
    except nbstripout.MetadataError as error:
        raise NotebookInvalid(f"The outputs were not removed: {error}.") from error
