"""Give a home that has no Matplotlib font list the one made when the image was built; the first plot is faster."""

import contextlib
import os
import shutil
from pathlib import Path

_made = Path("/opt/kernelhub/matplotlib")
_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"

if "MPLCONFIGDIR" not in os.environ:
    with contextlib.suppress(OSError):
        for _list in _made.glob("fontlist-*.json"):
            if not (_cache / _list.name).exists():
                _cache.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(_list, _cache / _list.name)
