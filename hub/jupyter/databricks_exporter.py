"""Databricks' source form as one of nbconvert's formats, for the process that exports."""

from __future__ import annotations

from typing import Any

from nbconvert.exporters.exporter import Exporter

from hub.notebook_files import databricks

OWN_EXPORTS = {"databricks": "hub.jupyter.databricks_exporter.DatabricksExporter"}
"""Formats that are the hub's own, with where nbconvert finds them."""

_ENDS = {language: extension for extension, language in databricks.LANGUAGES.items()} | {"r": ".r"}


class DatabricksExporter(Exporter):
    """Writes ``.py``, or what Databricks calls a notebook in R, SQL or Scala."""

    output_mimetype = "text/x-python"
    file_extension = ".py"

    def from_notebook_node(self, nb: Any, resources: Any = None, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """See nbconvert."""
        notebook, resources = super().from_notebook_node(nb, resources, **kwargs)
        info = notebook.metadata.get("language_info", {})
        extension = _ENDS.get(str(info.get("name", "python")).lower(), ".py")
        resources["output_extension"] = extension
        return databricks.write(notebook, extension), resources
