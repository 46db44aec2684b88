"""The whole table of addresses under ``/user/<name>/``, in the order in which they are tried.

Two are missing on purpose, because the proxy keeps them: ``api/kernels/<id>/channels`` and
``terminals/websocket/<name>``. ``api/shutdown`` and an extension manager do not exist: the server is everybody's.
"""

from __future__ import annotations

from tornado.routing import URLSpec
from tornado.web import RequestHandler

from hub.jupyter import (
    account,
    archives,
    classic_pages,
    contents,
    events,
    exports,
    files,
    front_files,
    journal,
    kernels,
    lab_api,
    missed,
    notebook_diff,
    notebook_pages,
    pages,
    runs,
    sessions,
    specification,
    terminals,
    trash,
    view,
)
from hub.jupyter.handler import NoSuchApi

_PATH = r"((?:/[^/]+)*/?)"
_ID = r"(\w+-\w+-\w+-\w+-\w+)"
_SPEC = r"([^/]+)"

_TABLE: list[tuple[str, type[RequestHandler]]] = [
    # The Jupyter Server REST API
    (r"/api", account.VersionHandler),
    (r"/api/status", account.StatusHandler),
    (r"/api/spec.yaml", specification.SpecificationHandler),
    (r"/api/me", account.IdentityHandler),
    (r"/api/config/(\w{1,64})", account.ConfigHandler),
    (r"/api/events", events.EventsHandler),
    (r"/api/events/subscribe", events.EventsSocket),
    (r"/api/security/csp-report", account.PolicyReportHandler),
    (r"/api/resolvePath", contents.ResolvePathHandler),
    (rf"/api/contents{_PATH}/checkpoints", contents.CheckpointsHandler),
    (rf"/api/contents{_PATH}/checkpoints/([\w-]+)", contents.CheckpointHandler),
    (rf"/api/contents{_PATH}/trust", contents.TrustHandler),
    (rf"/api/contents{_PATH}", contents.ContentsHandler),
    (r"/api/kernels", kernels.KernelsHandler),
    (rf"/api/kernels/{_ID}", kernels.KernelHandler),
    (rf"/api/kernels/{_ID}/(interrupt|restart)", kernels.KernelActionHandler),
    (rf"/api/kernels/{_ID}/journal", journal.JournalHandler),
    (r"/api/kernelspecs", kernels.KernelspecsHandler),
    (rf"/api/kernelspecs/{_SPEC}", kernels.KernelspecHandler),
    (rf"/kernelspecs/{_SPEC}/([^/]+)", kernels.KernelspecResourceHandler),
    (r"/api/sessions", sessions.SessionsHandler),
    (rf"/api/sessions/{_ID}", sessions.SessionHandler),
    (r"/api/kernelhub/runs", runs.RunsHandler),
    (rf"/api/kernelhub/runs/{_ID}", runs.RunHandler),
    (r"/api/kernelhub/verify", runs.VerifyHandler),
    (r"/api/kernelhub/state", runs.StateHandler),
    (r"/api/kernelhub/missed", missed.MissedHandler),
    (r"/api/kernelhub/missed/(\w{1,64})", missed.OneMissedHandler),
    (r"/api/terminals", terminals.TerminalsHandler),
    (r"/api/terminals/(\w+)", terminals.TerminalHandler),
    (r"/api/nbconvert", exports.ExportFormatsHandler),
    (r"/nbconvert/(\w+)", exports.ExportBodyHandler),
    (rf"/nbconvert/(\w+){_PATH}", exports.ExportFileHandler),
    (rf"/files{_PATH}", files.FilesHandler),
    (rf"/directories{_PATH}", archives.ArchiveHandler),
    (rf"/extract-archive{_PATH}", archives.ExtractHandler),
    (r"/api/kernelhub/trash", trash.TrashHandler),
    (r"/api/kernelhub/diff", notebook_diff.NotebookDiffHandler),
    (r"/lsp/status", account.LanguageServersHandler),
    # JupyterLab's own
    (r"/lab/api/settings/?", lab_api.SettingsListHandler),
    (r"/lab/api/settings/(.+)", lab_api.SettingsHandler),
    (r"/lab/api/workspaces/?", lab_api.LayoutsHandler),
    (r"/lab/api/workspaces/(.+)", lab_api.LayoutHandler),
    (r"/lab/api/translations/?", lab_api.LanguagesHandler),
    (r"/lab/api/translations/(.+)", lab_api.LanguageHandler),
    (r"/lab/api/themes/(.+)", lab_api.ThemeHandler),
    (r"/lab/api/listings/(.+)", lab_api.ListingsHandler),
    (r"/lab/api/licenses(/?)", lab_api.LicensesHandler),
    (r"/lab/api/build", lab_api.BuildHandler),
    (r"/lab/api/(news|update)", lab_api.NewsHandler),
    (r"/lab/api/(?:extensions|plugins)", lab_api.ManagedByAdministrators),
    # What else is asked of an API is not there; without this, VS Code would take a page for an answer.
    (r"/(?:lab/)?(?:api|lsp)(?:/.*)?", NoSuchApi),
    # Pages
    (r"/?", pages.HomeHandler),
    (r"/logout", pages.LogOutHandler),
    (r"/((?:lab|doc)(?:/.*)?)", pages.LabHandler),
    (r"/(retro(?:/.*)?)", pages.RetroHandler),
    (rf"/view{_PATH}", view.ViewHandler),
    # Notebook 7
    (rf"/tree{_PATH}", notebook_pages.TreePage),
    (rf"/notebooks{_PATH}", notebook_pages.NotebookDocumentPage),
    (rf"/edit{_PATH}", notebook_pages.EditPage),
    (rf"/consoles{_PATH}", notebook_pages.ConsolePage),
    (r"/terminals/(\w+)", notebook_pages.TerminalPage),
    # The classic Notebook
    (r"/nbclassic/?", classic_pages.ClassicHome),
    (rf"/nbclassic/tree{_PATH}", classic_pages.ClassicTree),
    (rf"/nbclassic/notebooks{_PATH}", classic_pages.ClassicNotebook),
    (rf"/nbclassic/edit{_PATH}", classic_pages.ClassicEdit),
    (r"/nbclassic/terminals/(\w+)", classic_pages.ClassicTerminal),
    (rf"/nbclassic/view{_PATH}", view.ViewHandler),
    (r"/custom/(.+)", front_files.CustomFile),
    (r"/(static|nbextensions)/.+", front_files.SharedFile),
]


def routes() -> list[URLSpec]:
    """For the application in `hub.app`. The first group of every pattern is the name in the path."""
    return [URLSpec(rf"/user/([^/]+){pattern}", handler) for pattern, handler in _TABLE]
