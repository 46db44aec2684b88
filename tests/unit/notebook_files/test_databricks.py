"""A Databricks source that is read and written again has the same bytes; a changed cell changes its lines only."""

from __future__ import annotations

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.notebook_files import databricks

SOURCE = """# Databricks notebook source
# MAGIC %md
# MAGIC # Sales
# MAGIC
# MAGIC A report.

# COMMAND ----------

# DBTITLE 1,Load the data
df = spark.read.table("sales")
display(df)

# COMMAND ----------

# MAGIC %sql
# MAGIC SELECT count(*) FROM sales

# COMMAND ----------

# MAGIC %pip install pandas
import pandas as pd

# COMMAND ----------

# DBTITLE 0,Hidden title
# MAGIC %sh ls

# COMMAND ----------


"""
_LINES = st.sampled_from(
    [
        *("", " ", "x = 1", "# COMMAND ----------", "# COMMAND ---------- ", "# MAGIC", "# MAGIC ", "# MAGIC %md"),
        *(
            "# MAGIC %md hello",
            "# MAGIC %sql",
            "# MAGIC  indented",
            "# MAGICx",
            "# DBTITLE 1,T",
            "# DBTITLE 0,",
            "# DBTITLE 2,T",
        ),
        *("%time", "x\r", "\r", "é\u2028\x0c", "# Databricks notebook source"),
    ]
)


@settings(deadline=None)
@given(st.lists(_LINES | st.text(max_size=20)), st.sampled_from(["\n", "\r\n"]))
def test_a_source_comes_back_byte_for_byte(lines: list[str], newline: str) -> None:
    text = newline.join(["# Databricks notebook source", *lines])
    if not databricks.is_source(text, ".py"):
        return
    assert databricks.write(databricks.read(text, ".py")) == text


@settings(deadline=None)
@given(st.lists(_LINES))
def test_what_is_read_is_a_valid_notebook_but_for_its_ids(lines: list[str]) -> None:
    notebook = databricks.read("\n".join(["# Databricks notebook source", *lines]), ".py")
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"c{number}"
    nbformat.validate(notebook)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["code", "markdown"]), st.text("ab \n%#-", min_size=1).map(lambda t: t.strip("\n") or "a")
        )
    )
)
def test_a_notebook_comes_back_cell_for_cell(cells: list[tuple[str, str]]) -> None:
    made = [{"cell_type": kind, "metadata": {}, "source": source} for kind, source in cells]
    back = databricks.read(databricks.write({"metadata": {}, "cells": made}), ".py")["cells"]
    assert [(cell["cell_type"], cell["source"]) for cell in back if made] == cells


def test_the_cells_are_what_databricks_shows() -> None:
    cells = databricks.read(SOURCE, ".py")["cells"]
    assert [(cell["cell_type"], cell["source"].split("\n")[0]) for cell in cells] == [
        ("markdown", "# Sales"),
        ("code", 'df = spark.read.table("sales")'),
        ("code", "%sql"),
        ("code", "# MAGIC %pip install pandas"),
        ("code", "%sh ls"),
        ("code", ""),
    ]
    assert cells[1]["metadata"][databricks.CELL_KEY] == {"showTitle": True, "title": "Load the data"}
    assert databricks.write(databricks.read(SOURCE, ".py")) == SOURCE


def test_a_changed_cell_changes_its_own_lines_only() -> None:
    notebook = databricks.read(SOURCE, ".py")
    notebook["cells"][1]["source"] = "df = None"
    before, after = SOURCE.splitlines(), databricks.write(notebook).splitlines()
    assert [line for line in after if line not in before] == ["df = None"]
    assert [line for line in before if line not in after] == ['df = spark.read.table("sales")', "display(df)"]


@pytest.mark.parametrize("extension, comment", [(".sql", "--"), (".scala", "//"), (".r", "#")])
def test_other_languages_have_their_own_comment_sign(extension: str, comment: str) -> None:
    lines = ("Databricks notebook source", "COMMAND ----------", "MAGIC %md", "MAGIC y")
    head, command, *magic = (f"{comment} {line}" for line in lines)
    text = "\n".join([head, "x", "", command, "", *magic, ""])
    assert databricks.is_source(text, extension)
    assert not databricks.is_source(text, ".txt")
    notebook = databricks.read(text, extension)
    assert [cell["cell_type"] for cell in notebook["cells"]] == ["code", "markdown"]
    assert databricks.write(notebook, extension) == text
