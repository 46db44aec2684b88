"""Settings: defaults, then one TOML file, then the environment (``KERNELHUB_…``), then flags.

Every setting is declared here with its type, default and meaning; docs/reference/settings.md is held against
this module by a test. All mistakes are reported at once, each with its path and what was expected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from hub.config.culling import Culling
from hub.config.limits import DefaultLimits
from hub.config.lti import Lti
from hub.config.profiles import GIB, Profile
from hub.config.providers import Provider, check_providers
from hub.config.rate_limits import RateLimits
from hub.config.roles import RoleSection, check_role_names
from hub.config.sign_in import HeaderSignIn, Registration, SecondFactor
from hub.config.spawning import Spawning
from hub.config.values import Span

__all__ = ["GIB", "ConfigError", "Culling", "Profile", "Settings", "Span", "load_settings"]

DEFAULT_HUB_PORT = 8081
"""Where a hub listens that `serve` did not give a free port."""
DEFAULT_METRICS_PORT = 8082
"""Where a proxy answers ``/metrics`` that `serve` did not give a free port."""


def bracketed(host: str) -> str:
    """A host as addresses write it: IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


class ConfigError(Exception):
    """The configuration is wrong; the message lists every mistake, a line each."""


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?", re.ASCII)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:]+", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")


_being_read: ContextVar[Path | None] = ContextVar("configuration file", default=None)
"""The file that `load_settings` reads: pydantic asks for its sources without a word of whose they are."""


class Settings(BaseSettings):
    """Everything that can be set. Sections are tables in the TOML file: ``[culling]``, ``[profiles.NAME]``."""

    model_config = SettingsConfigDict(env_prefix="KERNELHUB_", env_nested_delimiter="__", extra="forbid", frozen=True)
    _file: Path | None = PrivateAttr(None)

    data_dir: Path = Field(Path("data"), description="Everything the hub keeps: database, homes, run folders.")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host/name`; without it SQLite in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address on which the proxy listens.")
    port: int = Field(8000, ge=0, le=65535, description="Port on which the proxy listens.")
    public_url: str | None = Field(
        None,
        description="Address that browsers use, such as `https://hub.example.edu`; https turns Secure cookies on.",
    )
    allowed_origins: list[str] = Field(
        [],
        description="Origins of other sites whose pages may use the Jupyter API with a user's token, exactly as "
        "browsers write them: `https://colab.research.google.com`.",
    )
    git_pull_hosts: list[str] = Field(
        [],
        description="Hosts from which links (`git-pull?repo=…`) may fetch repositories, such as `github.com`, without "
        "another click; without any, all hosts, after a click.",
    )
    trusted_proxies: list[str] = Field([], description="Addresses of gateways whose X-Forwarded headers are believed.")
    hub_host: str = Field("127.0.0.1", description="Address on which the hub listens for its proxies.")
    hub_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on which the hub listens for its proxies; 0: `serve` takes a free one.",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on loopback for the proxy's /metrics; 0: `serve` takes a free one.",
    )
    spawner: Literal["auto", "docker", "process"] = Field(
        "auto",
        description="`docker`; `process` (development: no isolation); `auto`: docker, or process where no engine "
        "answers and the address is loopback.",
    )
    docker_url: str | None = Field(
        None, description="The engine's address; without it the environment's or the default."
    )
    agent_python: str | None = Field(
        None, description="Python that runs the agent in containers; without it `python3`."
    )
    start_workspace: Literal["sign-in", "open", "kernel"] = Field(
        "sign-in",
        description="When a user's container starts: at sign-in, when JupyterLab opens, or with the first kernel.",
    )
    start_timeout: Span = Field(timedelta(seconds=60), description="Longest time for a container to answer.")
    concurrent_starts: int = Field(4, ge=1, description="Containers that start at the same time; others wait in order.")
    sign_in_idle: Span = Field(timedelta(hours=8), description="A sign-in unused for this long ends.")
    sign_in_max: Span = Field(timedelta(days=7), description="A sign-in ends after this long in any case.")
    password_sign_in: bool = Field(
        True, description="Whether people sign in with passwords of the hub; `false` where providers do it for all."
    )
    second_factor: SecondFactor = Field(
        "optional",
        description="Who must have an authenticator app or a passkey beside the password: `optional` (nobody must), "
        "`administrators` (also who owns a group), `everybody`.",
    )
    presence: Span = Field(
        timedelta(minutes=30),
        description="How long administrators' pages stay open without use until the password is asked for again.",
    )
    registration: Registration = Field(
        "closed",
        description="Who may make an account: `closed` (administrators add people), `approval` (anybody asks, an "
        "administrator decides), `open` (anybody).",
    )
    header_sign_in: HeaderSignIn = Field(default_factory=lambda: HeaderSignIn())
    export_browser: Path | None = Field(
        None,
        description="A Chromium or Chrome on the hub's machine that prints notebooks as PDF, such as "
        "`/usr/bin/chromium`; without it there is no such export.",
    )
    trash_days: int = Field(
        30, ge=1, le=36500, description="Days for which deleted files stay in their user's trash; they count in quotas."
    )
    removal_grace: Span = Field(
        timedelta(days=30), description="How long somebody who was deleted can be restored; then their files go."
    )
    archive_kept: Span = Field(
        timedelta(days=180),
        description="How long an archive of the files of somebody who is gone is kept in `archives`; 0: none is made.",
    )
    max_upload_bytes: int = Field(128 * 1024**2, ge=1024**2, description="Largest body of one request.")
    base_uid: int = Field(200_000, ge=1000, description="First uid for users' containers, when the hub runs as root.")
    base_gid: int = Field(100, ge=1, description="gid for users' containers, when the hub runs as root.")
    output_scripts: bool = Field(
        True,
        description="Whether trusted outputs in JupyterLab may run scripts (plotly, bokeh, folium, … need it); without "
        "it nothing but the hub's own files can.",
    )
    audit_file: Path | None = Field(
        None, description="A file to which every line of the audit log is also appended as JSON; without it none."
    )
    log_format: Literal["text", "json"] = Field("text", description="How logs are written.")
    default_profile: str = Field("datascience", description="Profile for users who chose none.")
    profiles: dict[str, Profile] = Field(
        default_factory=lambda: {"datascience": Profile()}, description="What users may start."
    )
    lti: Lti = Field(default_factory=Lti)
    culling: Culling = Field(default_factory=Culling)
    limits: DefaultLimits = Field(default_factory=lambda: DefaultLimits())
    spawning: Spawning = Field(default_factory=lambda: Spawning())
    roles: dict[str, RoleSection] = Field(
        default_factory=dict,
        description="Roles besides `admin`, `user` and `guest`: what who has one may do in addition.",
    )
    rate_limits: RateLimits = Field(default_factory=RateLimits)
    providers: dict[str, Provider] = Field(
        default_factory=dict, description="Providers by which people sign in; docs/how-to/openid-connect.md."
    )

    @field_validator("allowed_origins")
    @classmethod
    def _exact_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin) or origin.endswith(_DEFAULT_PORTS.get(origin.partition(":")[0], "\0")):
                raise ValueError(
                    f"{origin!r} is not an origin as browsers write it: scheme://host[:port] in lower case, without a "
                    "path, a star or the scheme's own port"
                )
        return origins

    @field_validator("git_pull_hosts")
    @classmethod
    def _host_names(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host's name in lower case, without scheme, port and path")
        return hosts

    @field_validator("profiles")
    @classmethod
    def _profile_names_can_end_a_kernels_name(cls, profiles: dict[str, Profile]) -> dict[str, Profile]:
        wrong = [name for name in profiles if not _PROFILE_NAME.match(name)]
        if wrong:
            raise ValueError(f"the names of profiles are 1 to 40 letters, digits, - and _, not {wrong[0]!r}")
        return profiles

    @field_validator("roles")
    @classmethod
    def _roles_have_names_of_their_own(cls, roles: dict[str, RoleSection]) -> dict[str, RoleSection]:
        return check_role_names(roles)

    @model_validator(mode="after")
    def _providers_fit(self) -> Settings:
        check_providers(self.providers, self.roles, self.public_url, self.host)
        return self

    @model_validator(mode="after")
    def _default_profile_exists(self) -> Settings:
        if self.default_profile not in self.profiles:
            there = ", ".join(sorted(self.profiles))
            raise ValueError(f"default_profile {self.default_profile!r} is not one of the profiles: {there}")
        if not self.profiles[self.default_profile].is_for_everybody:
            raise ValueError(f"default_profile {self.default_profile!r} must be for everybody: no groups, no roles")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags beat the environment, which beats the file."""
        toml = TomlConfigSettingsSource(settings_cls, _being_read.get())
        return init_settings, env_settings, toml

    @property
    def sqlalchemy_url(self) -> str:
        """The database's address in SQLAlchemy's async form."""
        if self.database_url is None:
            return f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'kernelhub.db'}"
        url = self.database_url.get_secret_value()
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+asyncpg://" + url.removeprefix(prefix)
        return url

    @property
    def hub_url(self) -> str:
        """Where proxies find the hub."""
        return f"http://{bracketed(self.hub_host)}:{self.hub_port or DEFAULT_HUB_PORT}"

    @property
    def config_file(self) -> Path | None:
        """The file that was read, if any."""
        return self._file

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach the hub by https."""
        return bool(self.public_url and self.public_url.startswith("https://"))


def _words(kind: str, message: str) -> str:
    """A mistake as people read it."""
    return "there is no such setting" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def load_settings(config_file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings. `flags` are those given on the command line; None values are ignored.

    Without `config_file`, ``KERNELHUB_CONFIG``, then ``kernelhub.toml`` in the working folder, if it exists.
    Raises ConfigError with all mistakes when anything is unknown, of the wrong type or out of range, or
    when the file named does not exist or is not TOML.
    """
    given = config_file or (Path(os.environ["KERNELHUB_CONFIG"]) if "KERNELHUB_CONFIG" in os.environ else None)
    if given is not None and not given.is_file():
        raise ConfigError(f"The configuration file {given} does not exist.")
    default = Path("kernelhub.toml")
    file = given or (default if default.is_file() else None)
    reading = _being_read.set(file)
    chosen = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        settings = Settings(**chosen)
        settings._file = file
        return settings
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {_words(e['type'], e['msg'])}" for e in error.errors()]
        source = f" (read from {file})" if file else ""
        raise ConfigError("The configuration is wrong" + source + ":\n  " + "\n  ".join(lines)) from error
    except ValueError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error}") from error
    finally:
        _being_read.reset(reading)
