"""``lab/api``: what JupyterLab asks of its server side: settings, layouts, languages, themes, licences."""

from __future__ import annotations

from typing import ClassVar

from hub.config import Settings
from hub.errors import BadRequest, HubError
from hub.jupyter.catalogue import DEFAULT_LOCALE
from hub.jupyter.files import attachment
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.layouts import MAX_LAYOUT_BYTES
from hub.jupyter.licenses import report
from hub.jupyter.settings import (
    SchemaBook,
    chosen_locale,
    get_settings,
    list_ids,
    list_settings,
    save_settings,
)

_LISTINGS = "@jupyterlab/extensionmanager-extension/listings.json"


class _SettingsBase(JupyterHandler):
    async def book(self) -> SchemaBook:
        """The schemas in the language that the user chose."""
        folder = self.frontends.settings_of(self.user.id)
        return await self.frontends.book(await self.frontends.run(chosen_locale, folder))


class SettingsListHandler(_SettingsBase):
    """All settings, asked for once per page."""

    async def get(self, _name: str) -> None:
        """With their schemas, or with ``ids_only=true`` their names."""
        book = await self.book()
        if self.query("ids_only") == "true":
            self.write_encoded(list_ids(book))
            return
        folder = self.frontends.settings_of(self.user.id)
        self.write_encoded(await self.frontends.run(list_settings, book, folder))


class SettingsHandler(_SettingsBase):
    """The settings of one plugin."""

    async def get(self, _name: str, plugin_id: str) -> None:
        """With their schema."""
        folder = self.frontends.settings_of(self.user.id)
        self.write_encoded(await self.frontends.run(get_settings, await self.book(), folder, plugin_id))

    async def put(self, _name: str, plugin_id: str) -> None:
        """Replace what the user typed."""
        raw = (self.json_body() or {}).get("raw")
        if not isinstance(raw, str):
            raise BadRequest("Invalid format for JSON payload. Must be in the form {'raw': ...}")
        folder = self.frontends.settings_of(self.user.id)
        await self.frontends.run(save_settings, await self.frontends.book(), folder, plugin_id, raw)
        self.write_nothing()


class LayoutsHandler(JupyterHandler):
    """All layouts (JupyterLab's workspaces)."""

    async def get(self, _name: str) -> None:
        """List them; every open tab asks every few seconds."""
        layouts, folder = self.frontends.layouts, self.frontends.layouts_of(self.user.id)
        known = layouts.remembered(self.user.id, folder)
        if known is None:
            known = await self.frontends.run(layouts.list_all, self.user.id, folder)
        self.write_encoded(known)


class LayoutHandler(JupyterHandler):
    """One layout."""

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """See hub.jupyter.layouts."""
        return MAX_LAYOUT_BYTES

    async def get(self, _name: str, layout: str) -> None:
        """One that does not exist is empty."""
        folder = self.frontends.layouts_of(self.user.id)
        self.write_encoded(await self.frontends.run(self.frontends.layouts.get, folder, layout))

    async def put(self, _name: str, layout: str) -> None:
        """Replace it; every open tab does so every few seconds, mostly with what it was."""
        layouts, folder = self.frontends.layouts, self.frontends.layouts_of(self.user.id)
        raw = self.request.body
        if not layouts.is_saved(self.user.id, folder, layout, raw):
            await self.frontends.run(layouts.save, self.user.id, folder, layout, raw)
        self.write_nothing()

    async def delete(self, _name: str, layout: str) -> None:
        """Remove it."""
        layouts, folder = self.frontends.layouts, self.frontends.layouts_of(self.user.id)
        await self.frontends.run(layouts.delete, self.user.id, folder, layout)
        self.write_nothing()


class LanguagesHandler(_SettingsBase):
    """Which languages are installed."""

    async def get(self, _name: str) -> None:
        """With their names, in the language that the user chose."""
        self.write_json({"data": (await self.book()).catalogue.languages, "message": ""})


class LanguageHandler(JupyterHandler):
    """One language pack."""

    async def get(self, _name: str, locale: str) -> None:
        """Its translations; of one that is not installed nothing, and a message."""
        if locale in {"", "default", DEFAULT_LOCALE, "en_US"}:
            self.write_json({"data": {}, "message": ""})
            return
        catalogue = await self.frontends.catalogue(locale)
        known = catalogue.locale == locale
        message = "" if known else f"Language pack '{locale[:40]}' not installed!"
        self.write_json({"data": catalogue.language_pack if known else {}, "message": message})


class ThemeHandler(JupyterHandler):
    """A file of a theme."""

    async def get(self, _name: str, path: str) -> None:
        """Its bytes, from memory after the first time."""
        catalogue = await self.frontends.catalogue()
        themes_url = self.base_url + "lab/api/themes"
        file = await self.frontends.run(self.frontends.themes.get, catalogue, path, themes_url)
        self.set_header("Content-Type", file.content_type)
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(file.data)


class ListingsHandler(JupyterHandler):
    """Which extensions may be installed: the extension manager is off, so the lists are empty."""

    def get(self, _name: str, path: str) -> None:
        """The empty lists."""
        if path != _LISTINGS:
            raise BadRequest("There is only one listing.")
        fields = (
            "blocked_extensions_uris",
            "allowed_extensions_uris",
            "blocked_extensions",
            "allowed_extensions",
        )
        self.write_json({field: [] for field in fields})


class LicensesHandler(JupyterHandler):
    """The licences of what is inside JupyterLab's bundles."""

    async def get(self, _name: str, _path: str) -> None:
        """As ``format`` json, csv or markdown; with ``download=1`` to be saved."""
        files = (await self.frontends.catalogue()).licenses
        found = await self.frontends.run(report, files, self.query("format", "json"))
        if self.query("download", "0") not in {"0", "false"}:
            self.set_header("Content-Disposition", attachment(f"jupyterlab-licenses{found.extension}"))
        self.set_header("Content-Type", found.content_type)
        self.finish(found.text)


class BuildHandler(JupyterHandler):
    """``lab/api/build``: nothing is ever built here."""

    def get(self, _name: str) -> None:
        """Always stable."""
        self.write_json({"status": "stable", "message": ""})


class NewsHandler(JupyterHandler):
    """``lab/api/news`` and ``lab/api/update``: the hub asks nobody elsewhere for its users."""

    def get(self, _name: str, kind: str) -> None:
        """Never any."""
        self.write_json({"news": []} if kind == "news" else {"notification": None})


class ManagedByAdministrators(JupyterHandler):
    """Extensions and plugins: what one user installed or switched off here would be so for everybody."""

    page: ClassVar[bool | None] = False

    async def prepare(self) -> None:
        """Refuse every method, reading too."""
        await super().prepare()
        refusal = HubError("Extensions are managed by the administrators of this hub.")
        refusal.status = 405
        raise refusal
