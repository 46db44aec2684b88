"""Outputs of cells that ran while nobody watched, brought from the kernels' journals into their notebooks.

`tracking` finds executions in a journal, `deciding` says what becomes of each, `folding` makes a cell's outputs of its
messages, `placing` finds the cell in a notebook, `work` does both on bytes (large ones in a process of their own,
`program`), and `service` asks for all of it at the right time. What finds no cell is kept by `missed`.
"""
