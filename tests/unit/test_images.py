"""hub.images: what an image is built from."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from hub import images
from hub.config import Settings
from hub.errors import EngineSilent
from hub.spawn.docker import SECCOMP_FILE


def test_the_context_holds_the_sources_owned_by_root(tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("x")
    with tarfile.open(fileobj=io.BytesIO(images.build_context("minimal", bundle))) as tar:
        entries = {entry.name: entry for entry in tar}
    assert set(entries) == {"Dockerfile", "requirements.txt", "ca-bundle.crt"}
    assert {(entry.uid, entry.gid, entry.mode) for entry in entries.values()} == {(0, 0, 0o644)}


def test_without_a_bundle_the_context_has_none() -> None:
    with tarfile.open(fileobj=io.BytesIO(images.build_context("datascience", None))) as tar:
        assert "ca-bundle.crt" not in tar.getnames()


def test_the_bundle_is_the_first_file_that_the_environment_names(tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("x")
    environment = {"SSL_CERT_FILE": str(tmp_path / "missing"), "PIP_CERT": str(bundle)}
    assert images.ca_bundle(environment) == bundle
    assert images.ca_bundle({}) is None


def test_only_known_variables_become_build_arguments() -> None:
    environment = {"PIP_INDEX_URL": "https://pypi.example.org/simple", "KERNELHUB_DATABASE_URL": "secret"}
    arguments = images.build_arguments(environment, "debian:12")
    assert arguments == {"BASE": "debian:12", "PIP_INDEX_URL": "https://pypi.example.org/simple"}


def test_an_image_depends_on_the_sources_of_the_one_beneath() -> None:
    digests = [images.sources_digest(name) for name in images.IMAGES]
    assert len(set(digests)) == len(images.IMAGES)
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in digests)


async def test_an_unknown_image_is_refused_before_the_engine_is_asked() -> None:
    with pytest.raises(images.BuildFailed, match="minimal, datascience"):
        await images.build(Settings(docker_url="unix:///nowhere.sock"), "huge", None, print)


async def test_a_silent_engine_is_said(tmp_path: Path) -> None:
    settings = Settings(docker_url=f"unix://{tmp_path}/no-engine.sock")
    with pytest.raises(EngineSilent):
        await images.image_present(settings, "any")
    with pytest.raises(EngineSilent):
        await images.up_to_date(settings, None)
    with pytest.raises(EngineSilent):
        await images.build(settings, None, None, print)


def test_the_seccomp_profile_is_an_allow_list_without_the_ways_deep_into_the_kernel() -> None:
    profile = json.loads(SECCOMP_FILE.read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    refused = {"io_uring_setup", "keyctl", "bpf", "mount", "unshare", "setns", "userfaultfd", "perf_event_open"}
    assert not allowed & refused
    families = {rule["args"][0]["value"] for rule in profile["syscalls"] if rule["names"] == ["socket"]}
    assert families == {1, 2, 10, 16}
