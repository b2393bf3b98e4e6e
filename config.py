"""Every setting, one documented line each, read from the environment (and a `.env` file) once.

Nothing else reads `os.environ`. `Config.load()` validates and raises `ConfigError` with a sentence
that names the variable and what to do, so that the process refuses to start instead of misbehaving.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

HERE = Path(__file__).resolve().parent
MIN_SECRET_BYTES = 32
SIGNUP_MODES = ("open", "invite", "closed")


class ConfigError(Exception):
    """A setting is missing or wrong. The message says which and what to do."""


def setting(doc: str, default: Any = None, *, secret: bool = False) -> Any:
    """A field of `Config` with its documentation; the variable is the name in capitals."""
    return field(default=default, metadata={"doc": doc, "secret": secret}, repr=not secret)


@dataclass(frozen=True)
class Config:
    """The settings. Names are the environment variables in lower case."""

    secret_key: str = setting(
        "Root of all derived secrets (32 bytes or more). Generated into DATA_DIR on a local run; "
        "required when PUBLIC_URL is https.",
        "",
        secret=True,
    )
    database_url: str = setting(
        "SQLAlchemy URL: sqlite:///… or postgresql://…. Default: SQLite in DATA_DIR.",
        "",
        secret=True,
    )
    redis_url: str = setting(
        "Redis for shared limits; needed with more than one worker.", "", secret=True
    )
    data_dir: str = setting("Where database, journal and images live.", "instance")
    host: str = setting("Address to listen on.", "127.0.0.1")
    port: int = setting("Port to listen on.", 8000)
    public_url: str = setting("The URL people use, for snippets, links and cookies.", "")
    web_concurrency: int = setting(
        "Worker processes. More than 1 needs REDIS_URL and PostgreSQL.", 1
    )
    signup: str = setting("Who may sign up: open, invite or closed.", "open")
    smtp_url: str = setting(
        "Mail server; without it accounts are verified at once.", "", secret=True
    )
    catalog: str = setting("A TOML file laid over the shipped catalog.", "")

    openai_api_key: str = setting("Credential for OpenAI.", "", secret=True)
    openai_base_url: str = setting("OpenAI's base URL, with /v1.", "https://api.openai.com/v1")
    anthropic_api_key: str = setting("Credential for Anthropic.", "", secret=True)
    anthropic_base_url: str = setting(
        "Anthropic's base URL, without /v1.", "https://api.anthropic.com"
    )
    gemini_api_key: str = setting("Credential for Google Gemini.", "", secret=True)
    gemini_base_url: str = setting(
        "Gemini's base URL, without /v1beta.", "https://generativelanguage.googleapis.com"
    )
    deepseek_api_key: str = setting("Credential for DeepSeek.", "", secret=True)
    deepseek_base_url: str = setting("DeepSeek's base URL.", "https://api.deepseek.com/v1")
    stability_api_key: str = setting("Credential for Stability AI.", "", secret=True)
    stability_base_url: str = setting("Stability's base URL.", "https://api.stability.ai")
    local_base_url: str = setting(
        "Any OpenAI-compatible server (Ollama, vLLM, llama.cpp), with /v1. Its models are found.",
        "",
    )
    local_api_key: str = setting("Credential for that server, if it wants one.", "", secret=True)

    max_body_mb: int = setting("Largest request body in MiB.", 32)
    trusted_proxies: int = setting("How many proxies in front set X-Forwarded-*.", 0)
    metrics_token: str = setting("Bearer for /metrics from other than loopback.", "", secret=True)
    log_retention_days: int = setting("How long usage records are kept in the log.", 30)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the environment over `.env`, fill in what follows from it, and validate."""
        if environ is None:
            file = {k: v for k, v in dotenv_values(HERE / ".env").items() if v is not None}
            environ = {**file, **os.environ}
        values = {
            f.name: _read(f, environ[f.name.upper()])
            for f in fields(cls)
            if environ.get(f.name.upper(), "") != ""
        }
        return _complete(cls(**values))

    def derive(self, label: str) -> bytes:
        """A 32-byte secret for one purpose, from SECRET_KEY.

        HKDF-SHA256 (RFC 5869) with an all-zero salt and one block of output.
        """
        extracted = hmac.digest(bytes(32), self.secret_key.encode(), hashlib.sha256)
        return hmac.digest(extracted, f"switchyard {label}".encode() + b"\x01", hashlib.sha256)

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)


def _read(f: Any, text: str) -> Any:
    if f.type != "int":
        return text.strip()
    try:
        number = int(text)
    except ValueError:
        raise ConfigError(f"{f.name.upper()} must be a whole number, but is {text!r}.") from None
    if number < 0:
        raise ConfigError(f"{f.name.upper()} must not be negative, but is {number}.")
    return number


def _complete(config: Config) -> Config:
    """Derive what was not said, then check that the whole makes sense."""
    data_dir = (HERE / config.data_dir).resolve()
    changes: dict[str, Any] = {"data_dir": str(data_dir)}
    if not config.public_url:
        host = "127.0.0.1" if config.host in ("0.0.0.0", "::", "") else config.host  # noqa: S104
        changes["public_url"] = f"http://{host}:{config.port}"
    else:
        changes["public_url"] = _base_url("public_url", config.public_url)
    changes["database_url"] = _database_url(config.database_url, data_dir)
    for name in ("openai", "anthropic", "gemini", "deepseek", "stability", "local"):
        key = f"{name}_base_url"
        changes[key] = _base_url(key, getattr(config, key))
    config = _replace(config, changes)
    _check(config)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"DATA_DIR {data_dir} can't be used: {error.strerror}.") from None
    if not config.secret_key:
        config = _replace(config, {"secret_key": _local_secret(data_dir / "secret_key")})
    return config


def _replace(config: Config, changes: dict[str, Any]) -> Config:
    return Config(**{f.name: changes.get(f.name, getattr(config, f.name)) for f in fields(Config)})


def _database_url(url: str, data_dir: Path) -> str:
    if not url:
        return f"sqlite:///{data_dir / 'switchyard.db'}"
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and separator:
        return url
    if scheme in ("postgres", "postgresql", "postgresql+psycopg") and rest:
        return f"postgresql+psycopg://{rest}"
    # The URL may hold a password, so it is not repeated.
    raise ConfigError("DATABASE_URL must begin with sqlite:/// or postgresql://.")


def _base_url(key: str, url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_good = is_good and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(f"{key.upper()} must be an http or https URL, but is {url!r}.")
    return url.rstrip("/")


def _check(config: Config) -> None:
    if config.secret_key and len(config.secret_key.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"SECRET_KEY must have at least {MIN_SECRET_BYTES} bytes. "
            "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if config.is_https and not config.secret_key:
        raise ConfigError(
            "SECRET_KEY is required when PUBLIC_URL is https. "
            "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if config.signup not in SIGNUP_MODES:
        raise ConfigError(f"SIGNUP must be open, invite or closed, but is {config.signup!r}.")
    if not 1 <= config.port <= 65535:
        raise ConfigError(f"PORT must be between 1 and 65535, but is {config.port}.")
    if config.web_concurrency < 1:
        raise ConfigError("WEB_CONCURRENCY must be at least 1.")
    if config.max_body_mb < 1:
        raise ConfigError("MAX_BODY_MB must be at least 1.")
    if config.catalog and not Path(config.catalog).is_file():
        raise ConfigError(f"CATALOG names {config.catalog!r}, which is not a file.")
    if config.web_concurrency > 1:
        _check_cluster(config)


def _check_cluster(config: Config) -> None:
    """Several processes need shared counters: otherwise every limit would be multiplied."""
    missing = [
        name
        for name, is_there in (
            ("REDIS_URL", bool(config.redis_url)),
            ("a PostgreSQL DATABASE_URL", not config.is_sqlite),
        )
        if not is_there
    ]
    if missing:
        raise ConfigError(
            f"WEB_CONCURRENCY={config.web_concurrency} needs {' and '.join(missing)}: limits and "
            "usage would be wrong with several processes that do not share them."
        )
    raise ConfigError(
        f"WEB_CONCURRENCY={config.web_concurrency}: this release counts limits in one process; "
        "run one worker until limits are shared through Redis."
    )


def _local_secret(path: Path) -> str:
    """The secret of a local run: made once, readable only by its owner."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    text = path.read_text().strip()
    if len(text.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(f"{path} is damaged: remove it (keys made with it stop working).")
    return text
