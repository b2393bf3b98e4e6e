"""Settings: a wrong one stops the start with a sentence that names it; every one is documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from config import Config, ConfigError

ROOT = Path(__file__).resolve().parent.parent
SECRET = "for tests only, at least 32 bytes long"
CREDENTIALS = [f.name for f in fields(Config) if f.name.endswith(("_key", "_token"))]


def load(tmp_path, **settings):
    return Config.load({"DATA_DIR": str(tmp_path), "SECRET_KEY": SECRET, **settings})


BAD: list[tuple[str, dict[str, str]]] = [
    ("SECRET_KEY", {"SECRET_KEY": "too short"}),
    ("SECRET_KEY", {"SECRET_KEY": "", "PUBLIC_URL": "https://example.com"}),
    ("PORT", {"PORT": "http"}),
    ("PORT", {"PORT": "0"}),
    ("PORT", {"PORT": "65536"}),
    ("PORT", {"PORT": "-1"}),
    ("SIGNUP", {"SIGNUP": "everybody"}),
    ("CATALOG", {"CATALOG": "/nowhere/catalog.toml"}),
    ("WEB_CONCURRENCY", {"WEB_CONCURRENCY": "0"}),
    ("WEB_CONCURRENCY", {"WEB_CONCURRENCY": "two"}),
    ("WEB_CONCURRENCY", {"WEB_CONCURRENCY": "2"}),
    ("REDIS_URL", {"WEB_CONCURRENCY": "2"}),
    ("DATABASE_URL", {"WEB_CONCURRENCY": "2", "REDIS_URL": "redis://127.0.0.1"}),
    (
        "WEB_CONCURRENCY",
        {
            "WEB_CONCURRENCY": "2",
            "REDIS_URL": "redis://127.0.0.1",
            "DATABASE_URL": "postgresql://127.0.0.1/x",
        },
    ),
    ("MAX_BODY_MB", {"MAX_BODY_MB": "0"}),
    ("MAX_BODY_MB", {"MAX_BODY_MB": "1.5"}),
    ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "-1"}),
    ("LOG_RETENTION_DAYS", {"LOG_RETENTION_DAYS": "a month"}),
    ("OPENAI_BASE_URL", {"OPENAI_BASE_URL": "api.openai.com/v1"}),
    ("OPENAI_BASE_URL", {"OPENAI_BASE_URL": "ftp://api.openai.com/v1"}),
    ("OPENAI_BASE_URL", {"OPENAI_BASE_URL": "http://[::1"}),
    ("ANTHROPIC_BASE_URL", {"ANTHROPIC_BASE_URL": "http://"}),
    ("GEMINI_BASE_URL", {"GEMINI_BASE_URL": "x"}),
    ("DEEPSEEK_BASE_URL", {"DEEPSEEK_BASE_URL": "x"}),
    ("STABILITY_BASE_URL", {"STABILITY_BASE_URL": "x"}),
    ("LOCAL_BASE_URL", {"LOCAL_BASE_URL": "http://localhost:port"}),
    ("DATABASE_URL", {"DATABASE_URL": "nonsense"}),
    ("DATABASE_URL", {"DATABASE_URL": "mysql://127.0.0.1/x"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "example.com"}),
    ("DATA_DIR", {"DATA_DIR": "/dev/null/here"}),
]


@pytest.mark.parametrize(("variable", "settings"), BAD, ids=[str(b) for _, b in BAD])
def test_a_bad_setting_is_refused_by_name(tmp_path, variable, settings):
    with pytest.raises(ConfigError, match=variable):
        load(tmp_path, **settings)


STARTS = [
    ("SECRET_KEY", {"SECRET_KEY": "too short"}),
    ("WEB_CONCURRENCY", {"WEB_CONCURRENCY": "2"}),
    ("DATABASE_URL", {"DATABASE_URL": "nonsense"}),
    ("model `x`", {"CATALOG": "{tmp}/wrong.toml"}),
]


@pytest.mark.parametrize(("named", "settings"), STARTS, ids=[name for name, _ in STARTS])
@pytest.mark.parametrize("how", ["import", "gunicorn"])
def test_the_process_refuses_to_start_and_says_why(tmp_path, named, settings, how):
    (tmp_path / "wrong.toml").write_text('[models.x]\nkind = "sculpture"\n')
    env = {f.name.upper(): "" for f in fields(Config)} | {"PATH": os.environ["PATH"]}
    env |= {"DATA_DIR": str(tmp_path), "SECRET_KEY": SECRET, "PORT": "1", "WEB_CONCURRENCY": "1"}
    env |= {name: value.format(tmp=tmp_path) for name, value in settings.items()}
    command = {
        "import": [sys.executable, "-c", "import wsgi"],
        "gunicorn": [str(Path(sys.executable).parent / "gunicorn"), "--check-config", "wsgi:app"],
    }[how]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert named in said and "Switchyard can't start" in said
    assert "Traceback" not in said


# ----------------------------------------------------------------------------- what follows


def test_a_local_run_makes_its_secret_once_and_for_its_owner_alone(tmp_path):
    first = load(tmp_path, SECRET_KEY="")
    assert len(first.secret_key.encode()) >= 32
    assert load(tmp_path, SECRET_KEY="").secret_key == first.secret_key
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_local_secret_is_not_replaced(tmp_path):
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(ConfigError, match="secret_key is damaged"):
        load(tmp_path, SECRET_KEY="")


def test_empty_means_default(tmp_path):
    empty = {f.name.upper(): "" for f in fields(Config)}
    config = load(tmp_path, **{k: v for k, v in empty.items() if k != "DATA_DIR"})
    assert (config.port, config.host, config.signup) == (8000, "127.0.0.1", "open")
    assert config.openai_base_url == "https://api.openai.com/v1"
    assert config.database_url == f"sqlite:///{tmp_path}/switchyard.db"
    assert config.is_sqlite


@pytest.mark.parametrize("prefix", ["postgres://", "postgresql://"])
def test_postgresql_is_driven_by_psycopg(tmp_path, prefix):
    config = load(tmp_path, DATABASE_URL=prefix + "u:p@h/db")
    assert config.database_url == "postgresql+psycopg://u:p@h/db"
    assert not config.is_sqlite


@pytest.mark.parametrize(("settings", "url"), [
    ({}, "http://127.0.0.1:8000"),
    ({"HOST": "0.0.0.0", "PORT": "9000"}, "http://127.0.0.1:9000"),
    ({"HOST": "10.1.2.3"}, "http://10.1.2.3:8000"),
    ({"PUBLIC_URL": "https://llm.example.com/"}, "https://llm.example.com"),
])  # fmt: skip
def test_public_url(tmp_path, settings, url):
    config = load(tmp_path, **settings)
    assert config.public_url == url
    assert config.is_https == url.startswith("https")


def test_space_around_a_value_is_not_part_of_it(tmp_path):
    config = load(tmp_path, OPENAI_API_KEY=" sk-x\n", PORT=" 81 ", OPENAI_BASE_URL="http://x/v1/ ")
    assert (config.openai_api_key, config.port) == ("sk-x", 81)
    assert config.openai_base_url == "http://x/v1"


def test_no_secret_is_in_the_repr(tmp_path):
    secrets = {name.upper(): f"canary {name} " + "x" * 32 for name in CREDENTIALS}
    text = repr(load(tmp_path, **secrets, REDIS_URL="redis://:canary@h", SMTP_URL="smtp://canary"))
    assert "canary" not in text and "for tests only" not in text


# ----------------------------------------------------------------------------- derived secrets


def test_derived_secrets_are_stable_and_differ_by_label(tmp_path):
    config = load(tmp_path)
    labels = ("api-key-pepper", "flask-session", "image-links", "")
    secrets = [config.derive(label) for label in labels]
    assert secrets == [load(tmp_path).derive(label) for label in labels]
    assert len(set(secrets)) == len(labels)
    assert {len(secret) for secret in secrets} == {32}


def test_derived_secrets_follow_the_secret_key(tmp_path):
    other = load(tmp_path, SECRET_KEY=SECRET + "!")
    assert other.derive("flask-session") != load(tmp_path).derive("flask-session")


def test_the_derivation_never_changes(tmp_path):
    """Keys are stored under a derived pepper: another derivation would end them all."""
    expected = "5032b9ee2d26f29fdc102e15a9722357f33d141eb1c969464a9f4644268e5041"
    assert load(tmp_path).derive("api-key-pepper").hex() == expected


# ----------------------------------------------------------------------------- documentation


@pytest.mark.parametrize("field", [f.name for f in fields(Config)])
def test_every_setting_is_in_the_readmes_table(field):
    rows = [
        line.split("|")[1]
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("|")
    ]
    assert any(f"`{field.upper()}`" in row for row in rows)


def test_the_readmes_table_has_no_setting_that_does_not_exist():
    text = (ROOT / "README.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    assert named <= {f.name.upper() for f in fields(Config)}


@pytest.mark.parametrize("field", fields(Config), ids=lambda f: f.name)
def test_every_setting_says_what_it_is(field):
    assert len(field.metadata["doc"]) > 10
    is_secret = field.name.endswith(("_key", "_token")) or field.name in (
        "database_url",
        "redis_url",
        "smtp_url",
    )
    assert field.metadata["secret"] == is_secret
