"""Making a spare kernel the one that was asked for: the code that it runs, unseen, before anybody else's."""

from __future__ import annotations


def adoption_code(cwd: str, env: dict[str, str]) -> str:
    """Python code that moves a kernel to `cwd` and gives it `env`, without leaving a name in its namespace.

    IPython remembers the folder it started in (``_dh``): that becomes `cwd` too. Values are embedded as
    ASCII literals, so nothing in them can end the literal.
    """
    return (
        f"__import__('os').environ.update({env!a})\n"
        f"__import__('os').chdir({cwd!a})\n"
        f"get_ipython().user_ns.__setitem__('_dh', [{cwd!a}])\n"
    )
