"""All terminals of the container: the use cases of the protocol's ``terminal.*`` operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hub.agent import bounds
from hub.agent.child import Reaper
from hub.agent.loop import Loop
from hub.agent.places import resolve_cwd
from hub.agent.terminal import Terminal
from hub.agent.wire import Refusal


class Terminals:
    """Owns the terminals. `output` and `ended` are told what each shows, and that it has ended."""

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        *,
        home: str,
        environment: dict[str, str],
        output: Callable[[str, str], None],
        ended: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._home = home
        self._environment = environment
        self._output = output
        self._ended = ended
        self._terminals: dict[str, Terminal] = {}

    def get(self, name: str) -> Terminal:
        """One terminal. Raises Refusal ``not_found``."""
        if (terminal := self._terminals.get(name)) is None:
            raise Refusal("not_found", f"there is no terminal {name!r}")
        return terminal

    def create(self, cwd: str, name: str | None) -> Terminal:
        """Open a terminal; without a name it gets the smallest free number. Raises Refusal."""
        if len(self._terminals) >= bounds.MAX_TERMINALS:
            raise Refusal("too_many", f"there are {bounds.MAX_TERMINALS} terminals already")
        if name is None:
            name = next(str(n) for n in itertools.count(1) if str(n) not in self._terminals)
        if name in self._terminals:
            raise Refusal("exists", f"there is a terminal {name!r}")
        folder = resolve_cwd(self._home, cwd)
        try:
            terminal = Terminal(
                self._loop,
                self._reaper,
                name,
                folder,
                self._environment,
                output=self._output,
                ended=self._forget,
            )
        except OSError as error:
            raise Refusal("start_failed", f"no terminal can be opened: {error}") from error
        self._terminals[name] = terminal
        return terminal

    def infos(self) -> list[dict[str, Any]]:
        """All terminals in the protocol's form."""
        return [terminal.info() for terminal in self._terminals.values()]

    def close(self) -> None:
        """Hang up all."""
        for terminal in self._terminals.values():
            terminal.hang_up()

    def _forget(self, name: str) -> None:
        self._terminals.pop(name, None)
        self._ended(name)
