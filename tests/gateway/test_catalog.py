"""The catalog: the shipped models, the layers over them, discovery."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.catalog import (
    CAPABILITIES,
    KINDS,
    CatalogError,
    Price,
    build,
    discover,
    is_configured,
)
from gateway.providers import ROWS, connect

USD = 10**9
EVERY_KEY = {f"{name}_api_key": "secret" for name in ROWS}
PROMISED = [
    "gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514", "gemini-2.5-pro", "gemini-2.5-flash",
    "deepseek-chat", "deepseek-reasoner", "dall-e-3", "dall-e-2",
]  # fmt: skip


@pytest.fixture(scope="module")
def shipped():
    return build(connect(EVERY_KEY))


@pytest.fixture
def overlaid(tmp_path):
    """A catalog with this TOML laid over the shipped one."""

    def build_with(toml, **more):
        path = tmp_path / "overlay.toml"
        path.write_text(toml)
        return build(more.pop("providers", connect(EVERY_KEY)), overlay=path, **more)

    return build_with


# ---------------------------------------------------------------------- the shipped file


@pytest.mark.parametrize("model_id", PROMISED)
def test_promised_ids_are_there(shipped, model_id):
    assert shipped.find(model_id).id == model_id


def test_ids_carry_no_vendor_prefix(shipped):
    assert not [model_id for model_id in shipped.models if "/" in model_id]


def test_owners_and_kinds_are_the_known_ones(shipped):
    owners = {model.owned_by for model in shipped.models.values()}
    assert owners == {"openai", "anthropic", "google", "deepseek", "stability"}
    assert {model.kind for model in shipped.models.values()} == set(KINDS)


def test_every_chat_model_is_complete(shipped):
    for model in shipped.models.values():
        assert model.created > 1_600_000_000, model.id
        assert model.deployments, model.id
        assert model.capabilities <= CAPABILITIES.keys(), model.id
        if model.kind == "chat":
            assert model.context and model.max_output and model.price, model.id


def test_every_model_is_configured_with_every_key_and_none_without(shipped):
    assert all(map(is_configured, shipped.models.values()))
    assert not any(map(is_configured, build({}).models.values()))


def test_prices_are_whole_nano_dollars(shipped):
    assert shipped.find("gpt-4o").price == Price(
        input=2_500_000_000,
        output=10 * USD,
        cached_input=1_250_000_000,
        cache_write=2_500_000_000,
    )
    assert shipped.find("claude-opus-5-5").price.cache_write == 5 * USD
    assert shipped.find("text-embedding-3-small").price.input == 20_000_000
    assert shipped.find("sd3.5-large").price.image == 65_000_000


def test_cache_prices_default_to_the_input_price(shipped):
    price = shipped.find("text-embedding-3-large").price
    assert price.cached_input == price.cache_write == price.input


@pytest.mark.parametrize(
    ("model_id", "successor", "upstream", "defaults"),
    [
        ("claude-sonnet-4-20250514", "claude-sonnet-4-6", "claude-sonnet-4-6", {}),
        ("deepseek-chat", "deepseek-v4-flash", "deepseek-v4-flash",
         {"thinking": {"type": "disabled"}}),
        ("deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-flash",
         {"thinking": {"type": "enabled"}}),
        ("dall-e-2", "gpt-image-2", "gpt-image-2", {}),
        ("dall-e-3", "gpt-image-2", "gpt-image-2", {}),
    ],
)  # fmt: skip
def test_retired_ids_are_served_by_their_successor(
    shipped, model_id, successor, upstream, defaults
):
    model = shipped.find(model_id)
    assert model.served_by == successor
    assert model.deployments[0].upstream_model == upstream
    assert model.deployments[0].defaults == defaults
    assert model.price == shipped.find(successor).price
    assert model.context == shipped.find(successor).context


def test_dalle_is_unpriced(shipped):
    assert shipped.find("dall-e-3").price is None
    assert shipped.find("dall-e-3").kind == "image"
    assert shipped.find("dall-e-3").retires == date(2026, 5, 12)


def test_only_retired_ids_are_served_by_others(shipped):
    assert {m.id for m in shipped.models.values() if m.served_by} == {
        "claude-sonnet-4-20250514", "deepseek-chat", "deepseek-reasoner", "dall-e-2", "dall-e-3"
    }  # fmt: skip


def test_aliases_find_their_model_and_are_not_listed(shipped):
    assert shipped.find("stable-diffusion-3.5-large").id == "sd3.5-large"
    assert shipped.find("claude-haiku-4-5-20251001").id == "claude-haiku-4-5"
    assert "stable-diffusion-3.5-large" not in shipped.models


def test_unknown_ids_find_nothing(shipped):
    assert shipped.find("gpt-99") is None


def test_a_deepseek_chat_does_not_reason_but_the_reasoner_does(shipped):
    assert "reasoning" not in shipped.find("deepseek-chat").capabilities
    assert "reasoning" in shipped.find("deepseek-reasoner").capabilities


def test_the_snapshot_cannot_be_changed(shipped):
    model = shipped.find("gpt-4o")
    with pytest.raises(TypeError):
        shipped.models["x"] = model
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.id = "x"
    with pytest.raises(TypeError):
        shipped.find("deepseek-chat").deployments[0].defaults["x"] = 1


def test_only_configured_providers_are_deployed_to():
    catalog = build(connect({"openai_api_key": "secret"}))
    assert is_configured(catalog.find("gpt-4o"))
    deployment = catalog.find("gemini-2.5-pro").deployments[0]
    assert (deployment.provider, deployment.provider_name) == (None, "gemini")
    assert list(catalog.providers) == ["openai"]


# ------------------------------------------------------------------------------- overlay


def test_an_overlay_adds_a_model(overlaid):
    model = overlaid(
        '[local]\n"my/llama:70b" = { input = 0.1, output = 0.2, context = 8192, '
        'capabilities = ["tools"], aliases = ["llama"] }'
    ).find("llama")
    assert (model.id, model.owned_by, model.context) == ("my/llama:70b", "local", 8192)
    assert model.price.output == 200_000_000
    assert model.deployments[0].upstream_model == "my/llama:70b"


def test_an_overlay_changes_one_field_and_keeps_the_others(overlaid, shipped):
    model = overlaid("[models]\ngpt-4o = { output = 11 }").find("gpt-4o")
    assert model.price == dataclasses.replace(shipped.find("gpt-4o").price, output=11 * USD)
    assert model.created == shipped.find("gpt-4o").created


def test_an_overlay_disables(overlaid):
    catalog = overlaid("[openai]\ngpt-4o = { enabled = false }")
    assert catalog.find("gpt-4o") is None
    assert "gpt-4o" not in catalog.models


def test_a_disabled_successor_still_serves(overlaid):
    catalog = overlaid("[openai]\ngpt-image-2 = { enabled = false }")
    assert catalog.find("dall-e-3").deployments[0].upstream_model == "gpt-image-2"


def test_an_overlay_prices_what_was_unpriced_and_the_other_way_round(overlaid):
    catalog = overlaid('[models]\n"dall-e-3" = { image = 0.04 }\ngpt-4o = { unpriced = true }')
    assert catalog.find("dall-e-3").price == Price(image=40_000_000)
    assert catalog.find("dall-e-3").deployments[0].price == Price(image=40_000_000)
    assert catalog.find("gpt-4o").price is None


def test_an_overlay_points_an_id_at_another_model(overlaid, shipped):
    catalog = overlaid('[models]\n"dall-e-3" = { served_by = "sd3.5-large" }')
    model = catalog.find("dall-e-3")
    assert model.provider_name == "stability"
    assert model.price == shipped.find("sd3.5-large").price
    assert model.owned_by == "openai"


def test_moving_to_another_provider_forgets_price_and_place(overlaid):
    model = overlaid('[local]\ndeepseek-chat = { upstream = "qwen3" }').find("deepseek-chat")
    assert (model.price, model.served_by) == (None, None)
    assert model.deployments[0].provider_name == "local"
    assert model.deployments[0].upstream_model == "qwen3"
    assert model.deployments[0].defaults == {}


def test_an_empty_served_by_takes_it_away(overlaid):
    model = overlaid('[models]\n"dall-e-3" = { served_by = "" }').find("dall-e-3")
    assert model.served_by is None
    assert model.deployments[0].upstream_model == "dall-e-3"


def test_several_deployments(overlaid):
    model = overlaid(
        "[models]\n[[models.gpt-4o.deployments]]\nprovider = 'openai'\nweight = 3\n"
        "[[models.gpt-4o.deployments]]\nprovider = 'local'\nupstream = 'gpt-oss'\n"
        "input = 0\noutput = 0"
    ).find("gpt-4o")
    first, second = model.deployments
    assert (first.provider_name, first.upstream_model, first.weight) == ("openai", "gpt-4o", 3)
    assert (second.provider_name, second.upstream_model) == ("local", "gpt-oss")
    assert second.price == Price()


def test_an_overlay_moves_an_alias(overlaid):
    catalog = overlaid('[models]\n"stable-image-core" = { aliases = ["stable-diffusion"] }')
    assert catalog.find("stable-diffusion").id == "stable-image-core"


def test_a_new_id_beats_a_shipped_alias(overlaid):
    catalog = overlaid("[local]\nsd3 = { kind = 'image' }")
    assert catalog.find("sd3").provider_name == "local"


def test_capability_sets_are_shared_with_the_overlay(overlaid):
    catalog = overlaid(
        "[sets]\nmine = 'tools vision'\n[local]\na = { capabilities = '@mine reasoning' }\n"
        "b = { capabilities = ['@deepseek'] }"
    )
    assert catalog.find("a").capabilities == {"tools", "vision", "reasoning"}
    assert "prefill" in catalog.find("b").capabilities


def test_changes_lie_over_the_overlay(overlaid):
    catalog = overlaid(
        "[models]\ngpt-4o = { output = 11, input = 3 }",
        changes={"gpt-4o": {"output": 12.5, "retires": "2027-01-01", "capabilities": ["tools"]}},
    )
    model = catalog.find("gpt-4o")
    assert (model.price.input, model.price.output) == (3 * USD, 12_500_000_000)
    assert model.retires == date(2027, 1, 1)
    assert model.capabilities == {"tools"}


def test_null_takes_a_field_away(shipped):
    changes = {"gpt-4o": {"context": None}, "dall-e-3": {"retires": None}}
    catalog = build(connect(EVERY_KEY), changes=changes)
    assert catalog.find("gpt-4o").context is None
    assert catalog.find("dall-e-3").retires is None


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[models]\ngpt-4o = { prize = 1 }", ["overlay.toml", "`gpt-4o`", "`prize`", "unknown"]),
        ("[models]\ngpt-4o = { input = -1 }", ["`gpt-4o`", "`input`", "0 or more", "-1"]),
        ("[models]\ngpt-4o = { input = '1' }", ["`input`", "number"]),
        ("[models]\ngpt-4o = { input = nan }", ["`input`"]),
        ("[models]\ngpt-4o = { input = 0.0000000001 }", ["`input`", "decimal places"]),
        ("[models]\ngpt-4o = { context = 0 }", ["`context`", "1 or more"]),
        ("[models]\ngpt-4o = { context = true }", ["`context`"]),
        ("[models]\ngpt-4o = { kind = 'video' }", ["`kind`", "chat, embedding, image"]),
        ("[models]\ngpt-4o = { enabled = 1 }", ["`enabled`", "true or false"]),
        ("[models]\ngpt-4o = { provider = 'acme' }", ["`provider`", "acme", "openai"]),
        ("[models]\ngpt-4o = { capabilities = 'telepathy' }", ["`capabilities`", "telepathy"]),
        ("[models]\ngpt-4o = { capabilities = '@acme' }", ["`capabilities`", "@acme"]),
        ("[models]\ngpt-4o = { retires = 'soon' }", ["`retires`", "date"]),
        ("[models]\ngpt-4o = { served_by = 'gpt-99' }", ["`served_by`", "gpt-99"]),
        ("[models]\ngpt-image-2 = { served_by = 'dall-e-3' }", ["`served_by`", "leads back"]),
        ("[models]\ngpt-4o = { aliases = 'x' }", ["`aliases`", "list"]),
        ("[models]\ngpt-4o = { aliases = ['gpt-4.1'] }", ["`aliases`", "is a model itself"]),
        ("[local]\na = { aliases = ['z'] }\nb = { aliases = ['z'] }", ["`b`", "already stands"]),
        ("[models]\ngpt-4o = { defaults = { day = 2026-01-01 } }", ["`defaults`", "JSON"]),
        ("[models]\ngpt-4o = { deployments = [] }", ["`deployments`"]),
        ("[models]\ngpt-4o = { deployments = [{ provider = 'x' }] }", ["`deployments`", "x"]),
        ("[models]\nnew = { context = 1 }", ["`new`", "`provider`", "missing"]),
        ("[local]\nnew = { output = 1 }", ["`new`", "`input`", "missing"]),
        ("[models]\nnew = 1", ["`new`", "table"]),
        ("[acme]\nx = {}", ["unknown provider `acme`"]),
        ("models = 1", ["`models`", "table"]),
        ("[models", ["overlay.toml", "cannot be read"]),
    ],
)
def test_a_bad_overlay_says_what_is_wrong(overlaid, toml, words):
    with pytest.raises(CatalogError) as caught:
        overlaid(toml)
    assert not [word for word in words if word not in str(caught.value)], caught.value


def test_a_missing_overlay_is_an_error(tmp_path):
    with pytest.raises(CatalogError, match="absent.toml"):
        build({}, overlay=tmp_path / "absent.toml")


def test_bad_changes_name_the_database():
    with pytest.raises(CatalogError, match="database: model `gpt-4o`, field `input`"):
        build({}, changes={"gpt-4o": {"input": "free"}})


# ----------------------------------------------------------------------------- discovery

LOCAL = connect({"local_base_url": "http://127.0.0.1:1/v1"})


def test_discovered_models_are_listed_last_and_unpriced():
    catalog = build(LOCAL, discovered={"local": ["org/llama:70b", "nomic-embed-text"]})
    model = catalog.find("org/llama:70b")
    assert (model.kind, model.price, model.owned_by) == ("chat", None, "local")
    assert list(catalog.models)[-2:] == ["org/llama:70b", "nomic-embed-text"]
    assert catalog.find("nomic-embed-text").kind == "embedding"


def test_a_discovered_id_never_hides_a_configured_one():
    providers = {**LOCAL, **connect({"openai_api_key": "secret"})}
    discovered = {"local": ["gpt-4o", "gpt-5.5-2026-04-23", "gemini-2.5-pro", "sd3"]}
    catalog = build(providers, discovered=discovered)
    assert catalog.find("gpt-4o").provider_name == "openai"
    assert catalog.find("gpt-5.5-2026-04-23").id == "gpt-5.5"
    assert catalog.find("gemini-2.5-pro").provider_name == "local"
    assert catalog.find("sd3").provider_name == "local"


def test_a_disabled_id_is_not_discovered(overlaid):
    catalog = overlaid(
        "[local]\nllama = { enabled = false }", providers=LOCAL, discovered={"local": ["llama"]}
    )
    assert catalog.find("llama") is None


def test_an_overlay_describes_a_discovered_model(overlaid):
    catalog = overlaid(
        "[local]\nllama = { context = 4096 }", providers=LOCAL, discovered={"local": ["llama"]}
    )
    assert catalog.find("llama").context == 4096


def test_ids_of_a_provider_that_is_not_configured_are_ignored():
    assert build({}, discovered={"local": ["llama"]}).find("llama") is None


class _Server:
    """A model server that answers one path with a fixed status, headers and body."""

    def __init__(self):
        self.status, self.body, self.headers, self.seen = 200, b"", {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, dict(self.headers)))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(outer.body)))
                self.end_headers()
                try:
                    self.wfile.write(outer.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = _Server()
    yield server
    server.close()


def test_discover_lists_ids_in_order(server):
    ids = ["b/model:1", "a", "b/model:1", "", 7, "x" * 300, "new\nline"]
    server.body = json.dumps({"object": "list", "data": [{"id": i} for i in ids] + [3]}).encode()
    assert discover(server.url + "/", "local-secret") == ["b/model:1", "a"]
    path, headers = server.seen[0]
    assert path == "/v1/models"
    assert headers["authorization"] == "Bearer local-secret"


def test_discover_sends_no_credential_without_one_and_ignores_netrc(server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.body = b'{"data": [{"id": "a"}]}'
    assert discover(server.url) == ["a"]
    assert not {"authorization", "Authorization"} & server.seen[0][1].keys()


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (401, {}, b'{"error": {}}'),
        (302, {"location": "http://127.0.0.1:1/"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"data": {}}'),
        (200, {}, b'{"data": ["' + b"x" * 5_000_000 + b'"]}'),
    ],
)
def test_discover_survives_nonsense_and_logs_it(server, caplog, status, headers, body):
    server.status, server.headers, server.body = status, headers, body
    assert discover(server.url, "local-secret") == []
    assert "no models discovered" in caplog.text
    assert "local-secret" not in caplog.text


def test_discover_survives_a_server_that_is_away(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert discover(f"http://127.0.0.1:{port}/v1") == []
    assert "cannot be reached" in caplog.text


def test_discover_gives_up_on_a_server_that_says_nothing(monkeypatch):
    monkeypatch.setattr("gateway.catalog.READ_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert discover(f"http://127.0.0.1:{silent.getsockname()[1]}/v1") == []
        assert time.monotonic() - started < 3
