"""Notebook files in other people's forms: stripped, as text, as Databricks' source, compared. Choices about them too.

Pure, but for `apart`, which runs the hostile and the slow in a child process. Nothing here opens a user's file.
"""
