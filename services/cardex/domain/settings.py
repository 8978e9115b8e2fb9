"""All settings: environment variables `CARDEX_*` or files of secrets, read once into one object."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from cardex.domain.cases import Nearness
from cardex.domain.errors import ConfigurationError

PREFIX = "CARDEX_"
ROOT = Path(__file__).resolve().parents[3]
SECRETS = Path("/run/secrets")
"""Where a container finds its secrets: a file named `cardex_state_url` sets `state_url`."""


class Settings(BaseSettings):
    """What can be set, with its default. The name of a variable is `CARDEX_` and the field."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    # Where the parts are.
    state_url: str = Field("redis://127.0.0.1:6379/0", repr=False)
    cache_url: str = Field("redis://127.0.0.1:6380/0", repr=False)
    milvus_uri: str = "http://127.0.0.1:19530"
    milvus_token: str = Field("", repr=False)
    milvus_index: Literal["FLAT", "IVF_FLAT", "HNSW"] = "IVF_FLAT"
    triton_url: str = "127.0.0.1:8001"
    model_repository: Path = ROOT / "model_repository"

    # The answers.
    prevalence: Path | None = None  # CSV of the hospital's own shares of the statements
    nearness: Nearness = Nearness.BOTH  # what it means where a question does not say

    # The doors.
    gateway_bind: str = "127.0.0.1:50051"
    gateway_socket: Path | None = None
    web_bind: str = "127.0.0.1:8080"
    gateway_target: str = "127.0.0.1:50051"
    gateway_ca: Path | None = None
    api_key: str = Field("", repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    api_keys: Path | None = None
    insecure: bool = False
    grace_s: float = Field(5.0, ge=0)  # that calls have to end when the gateway stops
    keepalive_s: float = Field(20.0, ge=1)

    # Limits.
    max_payload_bytes: int = Field(16 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    max_backlog: int = Field(100_000, ge=1)  # jobs that may wait in a queue, of all API keys
    max_backlog_per_key: int = Field(50_000, ge=1)
    rate_per_s: float = Field(1000.0, gt=0)  # of one API key, through one gateway process
    rate_total_per_s: float = Field(5000.0, gt=0)  # of all of them
    state_replicas: int = Field(0, ge=0, le=8)  # that have a job before it is acknowledged
    state_watermark: float = Field(0.8, gt=0, le=1)  # from here on only STAT is taken in
    max_attempts: int = Field(5, ge=1)
    lease_s: float = Field(10.0, ge=1.0)
    latch_s: float = Field(3.0, ge=0.5)
    payload_ttl_s: float = Field(86_400.0, ge=60)
    job_ttl_s: float = Field(86_400.0, ge=60)
    cache_ttl_s: float = Field(7 * 86_400.0, ge=1)
    retrieve_timeout_s: float = Field(60.0, gt=0)
    triton_timeout_s: float = Field(10.0, gt=0)
    triton_in_flight: int = Field(8, ge=1, le=1024)

    # The worker.
    stat_batch: int = Field(8, ge=1, le=32)
    routine_batch: int = Field(32, ge=1, le=64)
    worker_threads: int = Field(4, ge=1, le=64)
    routine_workers: int = Field(2, ge=1, le=64)  # processes of the embedded stack
    memory_reports: int = Field(50_000, ge=0)  # a larger index is searched by Milvus; 2 KB each

    # The embedded stack.
    data_dir: Path = ROOT / ".cardex"
    ptbxl_url: str = "https://physionet.org/files/ptb-xl/1.0.3/"
    triton_python: Path = ROOT / ".venv-triton" / "bin" / "python"
    state_maxmemory: str = "2gb"
    cache_maxmemory: str = "512mb"
    state_fsync: Literal["always", "everysec"] = "always"

    # Watching.
    ready_file: Path | None = None  # there as long as this process takes work
    alive_file: Path | None = None  # touched every few seconds while this process gets on
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_port: int = Field(0, ge=0, le=65_535)


def load_settings() -> Settings:
    """Read the environment, and the files of `SECRETS` for what it does not set.

    Raises:
        ConfigurationError: naming every variable or file that is unknown or has a wrong value.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    given = {*os.environ, *(path.name.upper() for path in _secrets())}
    unknown = sorted(name for name in given if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(
            f"unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}"
        )
    return settings_of()


def settings_of(**given: object) -> Settings:
    """Return the settings as `load_settings` reads them, with those that are given in their place.

    Raises:
        ConfigurationError: naming every variable or file that has a wrong value, or a file that
            cannot be read.
    """
    try:
        folder = SECRETS if _secrets() else None
        return Settings(_secrets_dir=folder, **given)  # type: ignore[arg-type]
    except SettingsError as error:
        raise ConfigurationError(f"cannot read {SECRETS}: {error.__cause__}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}"
            for item in error.errors(include_input=False)
        )
        raise ConfigurationError(f"wrong setting: {wrong}") from error


def _secrets() -> list[Path]:
    """Return the files that set something; the folder may hold others' secrets too."""
    if not SECRETS.is_dir():
        return []
    return [path for path in SECRETS.iterdir() if path.name.upper().startswith(PREFIX)]
