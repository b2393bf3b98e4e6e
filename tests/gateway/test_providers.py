"""Providers: what is configured, and that no credential shows."""

from __future__ import annotations

import pytest

from gateway.providers import QUIRKS, ROWS, SIMULATOR, connect, unconfigured

KEYS = {
    "openai_api_key": "sk-very-secret-1",
    "anthropic_api_key": "sk-very-secret-2",
    "gemini_api_key": "sk-very-secret-3",
    "deepseek_api_key": "sk-very-secret-4",
    "stability_api_key": "sk-very-secret-5",
}


def test_nothing_is_configured_without_settings():
    assert connect({}) == {}


def test_a_provider_is_configured_once_its_credential_is_there():
    providers = connect(KEYS)
    assert list(providers) == ["openai", "anthropic", "gemini", "deepseek", "stability"]
    assert providers["openai"].base_url == "https://api.openai.com/v1"


def test_an_empty_credential_is_none():
    assert connect({"openai_api_key": ""}) == {}


def test_local_is_configured_by_its_url_and_never_exact():
    local = connect({"local_base_url": "http://127.0.0.1:11434/v1/"})["local"]
    assert local.base_url == "http://127.0.0.1:11434/v1"
    assert not local.exact
    assert local.headers() == {}


def test_a_credential_alone_does_not_configure_local():
    assert connect({"local_api_key": "x"}) == {}


def test_base_urls_can_be_set():
    providers = connect({**KEYS, "gemini_base_url": "http://127.0.0.1:9/"})
    assert providers["gemini"].base_url == "http://127.0.0.1:9"


def test_exact_rows_are_those_whose_wire_is_known():
    assert {name for name, row in ROWS.items() if row.exact} == {"openai", "deepseek", "gemini"}


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("openai", ("authorization", "Bearer sk-very-secret-1")),
        ("anthropic", ("x-api-key", "sk-very-secret-2")),
        ("gemini", ("x-goog-api-key", "sk-very-secret-3")),
        ("deepseek", ("authorization", "Bearer sk-very-secret-4")),
        ("stability", ("authorization", "Bearer sk-very-secret-5")),
    ],
)
def test_the_credential_goes_into_the_header_of_the_row(name, header):
    assert header in connect(KEYS)[name].headers().items()


def test_anthropic_names_its_version():
    assert connect(KEYS)["anthropic"].headers()["anthropic-version"] == "2023-06-01"


def test_no_credential_in_text():
    assert "very-secret" not in repr(connect(KEYS))
    assert "very-secret" not in f"{connect(KEYS)['openai']}"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("deepseek", "DEEPSEEK_API_KEY"),
        ("stability", "STABILITY_API_KEY"),
        ("local", "LOCAL_BASE_URL"),
    ],
)
def test_unconfigured_names_the_variable_to_set(name, variable):
    assert unconfigured(name) == variable


def test_every_quirk_is_explained():
    assert {quirk for row in ROWS.values() for quirk in row.quirks} <= QUIRKS.keys()


def test_the_simulator_is_no_row():
    assert SIMULATOR.name not in ROWS
