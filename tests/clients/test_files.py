"""What people do with files in JupyterLab: trash and back, archives of folders, and documents that are no notebooks.

No kernel is needed, so there is no container. One story in steps, in the order of the file.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import CHROMIUM, Person
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.browser]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360f8cf00000201"
    "0100c9fe92ef0000000049454e44ae426082"
)
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
FILES = {
    "keep.txt": b"keep me",
    "data/größe.csv": "name,größe\nada,1.7\n".encode(),
    "data/deep/x.txt": b"x",
    "picture.png": PNG,
    "paper.pdf": PDF,
    "broken.ipynb": b"{this is no notebook",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub(
        "process", {"KERNELHUB_START_WORKSPACE": "kernel", "KERNELHUB_EXPORT_BROWSER": str(CHROMIUM)}
    ) as hub:
        yield hub


@pytest.fixture(scope="module")
def account(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    asked = Request(f"{hub.address}/user/ada/api/contents", headers={"Authorization": f"token {account.token}"})
    urlopen(asked, timeout=10).close()  # the first use makes the home
    for name, data in FILES.items():
        file = account.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Title\n$x^2$"}
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernelspec}
    document = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (account.home / "paper.ipynb").write_text(json.dumps(document))
    owner = account.home.stat()
    for path in account.home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)
    return account


@pytest.fixture(scope="module")
def ada(hub: RunningHub, account: Account, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("files-end")
    person.close()


def listed(ada: Person, name: str) -> Locator:
    return ada.page.locator(".jp-DirListing-item", has_text=re.compile(rf"^{re.escape(name)}"))


def choose(ada: Person, at: Locator, entry: str) -> None:
    """From the context menu."""
    at.click(button="right")
    ada.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile(rf"^{entry}$")).click()


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def test_a_folder_is_downloaded_from_the_file_browsers_menu(ada: Person) -> None:
    with ada.page.expect_download() as download:
        choose(ada, listed(ada, "data"), "Download Folder as an Archive")
    assert download.value.suggested_filename == "data.zip"
    found = unpacked(download.value.path())
    assert found == {"data/größe.csv": FILES["data/größe.csv"], "data/deep/x.txt": b"x"}


def test_all_files_are_downloaded_from_the_hubs_page(ada: Person) -> None:
    page = ada.context.new_page()
    page.goto(f"{ada.address}/hub/home")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all my files").click()
    assert download.value.suggested_filename == "ada.zip"
    assert unpacked(download.value.path())["ada/keep.txt"] == b"keep me"
    page.close()


def test_deleting_says_that_it_moves_to_the_trash(ada: Person, account: Account) -> None:
    choose(ada, listed(ada, "data"), "Move to Trash")
    dialog = ada.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("move to trash")
    dialog.get_by_role("button", name="Move to Trash").click()
    expect(listed(ada, "data")).to_have_count(0)
    assert (account.home / ".local/share/Trash/files/data/deep/x.txt").exists()


def test_what_was_deleted_comes_back_from_the_trash(ada: Person, account: Account) -> None:
    with ada.context.expect_page() as opened:
        choose(ada, ada.page.locator(".jp-DirListing-content"), "Show Trash")
    page = opened.value
    expect(page.get_by_role("heading", name="Trash", exact=True)).to_be_visible()
    expect(page.locator(".rows")).to_contain_text("data/")
    page.screenshot(path="tests/artefacts/trash.png")
    page.get_by_role("button", name="Restore data").click()
    expect(page.get_by_text("“data” is back.")).to_be_visible()
    page.close()
    assert (account.home / "data/deep/x.txt").read_bytes() == b"x"
    expect(listed(ada, "data")).to_have_count(1, timeout=15_000)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("picture.png", ".jp-ImageViewer img"), ("paper.pdf", ".jp-PDFContainer")],
)
def test_pictures_and_pdfs_open(ada: Person, name: str, shown: str) -> None:
    listed(ada, name).dblclick()
    expect(ada.page.locator(shown).last).to_be_attached()


def test_tables_open(ada: Person) -> None:
    listed(ada, "data").dblclick()
    listed(ada, "größe.csv").dblclick()
    expect(ada.page.locator(".jp-CSVViewer .lm-DataGrid").first).to_be_visible()
    ada.page.locator(".jp-BreadCrumbs-home").click()


def test_what_is_no_notebook_says_so_and_opens_as_text(ada: Person, account: Account) -> None:
    listed(ada, "broken.ipynb").dblclick()
    dialog = ada.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Unreadable notebook broken.ipynb")
    expect(dialog).to_contain_text("The file was not changed")
    ada.screenshot("files-broken-notebook")
    dialog.get_by_role("button").last.click()
    expect(dialog).to_contain_text("Save changes in")  # an empty notebook: the hub would refuse it
    dialog.get_by_role("button", name=re.compile("discard|don.t", re.I)).click()
    expect(dialog).to_have_count(0)
    listed(ada, "broken.ipynb").click(button="right")
    ada.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile("^Open With$")).hover()
    ada.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile("^Editor$")).click()
    expect(ada.page.locator(".jp-FileEditor .cm-content")).to_have_text("{this is no notebook")
    assert (account.home / "broken.ipynb").read_bytes() == FILES["broken.ipynb"]


def test_dropped_files_are_uploaded_in_chunks(ada: Person, account: Account) -> None:
    data = os.urandom(3 * 1024 * 1024 + 5)
    # Scripts cannot make a drop that is backed by real files: the event carries what JupyterLab reads of one.
    ada.page.locator(".jp-DirListing-content").evaluate(
        """(list, hex) => {
            const bytes = new Uint8Array(hex.match(/../g).map(pair => parseInt(pair, 16)));
            const event = new DragEvent("drop", { bubbles: true, cancelable: true });
            Object.defineProperty(event, "dataTransfer", { value: { files: [new File([bytes], "dropped.bin")] } });
            list.dispatchEvent(event); }""",
        data.hex(),
    )
    expect(listed(ada, "dropped.bin")).to_have_count(1)
    eventually(lambda: (account.home / "dropped.bin").read_bytes() == data, what="the whole file")


def test_a_notebook_is_exported_as_pdf(ada: Person) -> None:
    ada.page.goto(f"{ada.address}/user/ada/lab/tree/paper.ipynb?reset")
    ada.wait_for_lab()
    ada.page.locator(".jp-NotebookPanel:visible h1").wait_for()
    with ada.context.expect_event("download", timeout=60_000) as download:
        ada.menu("File", "Save and Export Notebook As", "PDF")
    assert download.value.suggested_filename == "paper.pdf"
    assert download.value.path().read_bytes().startswith(b"%PDF-")
