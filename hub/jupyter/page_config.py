"""What JupyterLab and Notebook 7 are told about where they run: the page's configuration. Pure.

The names are JupyterLab's (PageConfig in @jupyterlab/coreutils). Folders of this machine are left blank, the
token too: the front end has its cookie, and nothing in the page is worth stealing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hub.domain.users import User
from hub.jupyter.catalogue import Catalogue

STATIC_URL = "/static/lab"
NOTEBOOK_STATIC_URL = "/static/notebook"
LABEXTENSIONS_URL = "/static/labextensions"
HUB_PREFIX = "/hub/"
SHARE_URL = "/hub/user-redirect/"
"""What "Copy Shareable Link" begins with: it leads whoever follows it to their own copy of the path."""

_UNTRACKED = [
    *("comm_info_request", "comm_info_reply", "kernel_info_request", "kernel_info_reply"),
    *("shutdown_request", "shutdown_reply", "interrupt_request", "interrupt_reply"),
    *("debug_request", "debug_reply", "debug_event", "input_request", "input_reply"),
    *("stream", "display_data", "update_display_data", "execute_input", "execute_result"),
    *("error", "status", "clear_output"),
]
"""Messages during which the indicator of a notebook does not say that its kernel is busy."""

_SWITCHED_OFF = [
    "@jupyterlab/apputils-extension:announcements",  # asks for news from elsewhere
    "@jupyterlab/hub-extension:connectionlost",  # offers to start a server again: there is none, and it comes back
    "@jupyterlab/extensionmanager-extension:plugin",  # what is installed is the administrators'
    "@jupyterlab/pluginmanager-extension:plugin",
]

_OWN_EXTENSION = {"name": "kernelhub", "load": "../../../hub/static/lab-files.js", "extension": "./extension"}
"""Archives and trash in the file browser (hub/web/static/lab-files.js), loaded relative to `LABEXTENSIONS_URL`."""
_NOTICES_EXTENSION = {
    "name": "kernelhub-notices",
    "load": "../../../hub/static/lab-notices.js",
    "extension": "./extension",
}
"""Messages and other notices of the hub above the front end (hub/web/static/lab-notices.js)."""

_PLACE = re.compile(r"(?P<mode>lab|doc)(?:/workspaces/(?P<layout>[A-Za-z0-9_-]+))?(?:/tree/(?P<path>.*))?/?\Z", re.S)


@dataclass(frozen=True, slots=True)
class Place:
    """What an address of JupyterLab opens: a mode, a layout, and a file or folder (``""``: what was open)."""

    mode: str = "multiple-document"
    layout: str = "default"
    path: str = ""


def parse_place(address: str) -> Place | None:
    """The place that an address relative to the user's base stands for; None when Lab has no such address."""
    match = _PLACE.match(address)
    if match is None:
        return None
    mode = "single-document" if match["mode"] == "doc" else "multiple-document"
    return Place(mode, match["layout"] or "default", match["path"] or "")


def lab_config(
    catalogue: Catalogue, user: User, base_url: str, home: str, place: Place | None, address: str, serial: int
) -> dict[str, Any]:
    """The configuration for one page of JupyterLab.

    `home` is the user's home inside the container; `place` None means that the front end shall say that
    there is nothing at `address`; `serial` tells pages apart.
    """
    opened = place or Place()
    config = {
        **_common(catalogue, user, base_url, home, serial),
        "appName": "JupyterLab",
        "appNamespace": "lab",
        "appVersion": catalogue.lab_version,
        "fullStaticUrl": STATIC_URL,
        "mode": opened.mode,
        "workspace": opened.layout,
        "treePath": opened.path,
    }
    return {**config, "notFoundUrl": address} if place is None else config


def notebook_config(
    catalogue: Catalogue, user: User, base_url: str, home: str, view: str, path: str, serial: int
) -> dict[str, Any]:
    """The configuration for one page of Notebook 7, which is told by `view` (tree, notebooks, …) what it shows.

    `path` is the folder that the tree opens; the other views read theirs from their address.
    """
    return {
        **_common(catalogue, user, base_url, home, serial),
        "appName": "Jupyter Notebook",
        "appNamespace": "notebook",
        "appVersion": catalogue.notebook_version,
        "frontendUrl": base_url,
        "fullStaticUrl": NOTEBOOK_STATIC_URL,
        "notebookPage": view,
        "treePath": path,
    }


def _common(catalogue: Catalogue, user: User, base_url: str, home: str, serial: int) -> dict[str, Any]:
    return {
        **_fixed(catalogue),
        **_addresses(base_url),
        **catalogue.page_config,
        "disabledExtensions": [*catalogue.page_config.get("disabledExtensions", []), *_SWITCHED_OFF],
        "federated_extensions": [
            *catalogue.page_config.get("federated_extensions", []),
            _OWN_EXTENSION,
            _NOTICES_EXTENSION,
        ],
        "baseUrl": base_url,
        "wsUrl": "",
        "token": "",
        "store_id": serial,
        "serverRoot": home,
        "rootUri": f"file://{home}",
        "hubPrefix": HUB_PREFIX,
        "hubHost": "",
        "hubUser": user.name,
        "hubServerName": "",
        "shareUrl": SHARE_URL,
        "nbclassic_enabled": True,
    }


def _fixed(catalogue: Catalogue) -> dict[str, Any]:
    version = [int(part) for part in re.findall(r"\d+", catalogue.server_version)[:3]]
    return {
        "allow_hidden_files": False,
        "buildAvailable": False,
        "buildCheck": False,
        "cacheFiles": True,
        "copyAbsolutePath": False,
        "delete_to_trash": True,
        "devMode": False,
        "exposeAppInBrowser": False,
        "extensionManager": {"name": "read-only", "can_install": False, "install_path": None},
        "extraLabextensionsPath": [],
        "ignorePlugins": [],
        "labextensionsPath": [],
        "mathjaxConfig": "TeX-AMS_HTML-full,Safe",
        "fullMathjaxUrl": "",
        "news": {"disabled": True},
        "notebookStartsKernel": True,
        "notebookVersion": str(version),
        "preferredPath": "/",
        "quitButton": False,
        "terminalsAvailable": True,
        "untracked_message_types": _UNTRACKED,
        **dict.fromkeys(
            (
                *("appSettingsDir", "schemasDir", "staticDir", "templatesDir", "themesDir"),
                *("userSettingsDir", "workspacesDir", "virtualDocumentsUri"),
            ),
            "",
        ),
    }


def _addresses(base_url: str) -> dict[str, str]:
    relative = {
        "appUrl": "/lab",
        "licensesUrl": "/lab/api/licenses",
        "listingsUrl": "/lab/api/listings",
        "settingsUrl": "/lab/api/settings",
        "themesUrl": "/lab/api/themes",
        "translationsApiUrl": "/lab/api/translations",
        "treeUrl": "/lab/tree",
        "workspacesApiUrl": "/lab/api/workspaces",
    }
    full = {f"full{name[0].upper()}{name[1:]}": base_url.rstrip("/") + path for name, path in relative.items()}
    return {
        **relative,
        **full,
        "labextensionsUrl": LABEXTENSIONS_URL,
        "fullLabextensionsUrl": LABEXTENSIONS_URL,
    }
