"""The official Python SDK, newest and oldest supported line, and Node's, against the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.api import sdk_core
from tests.conftest import ROOT, Server, poll, require
from tests.fake_upstream import UNICODE

MESSAGES = sdk_core.MESSAGES
TEXT = sdk_core.TEXT
NULLABLE = (  # section 1.2, "null ok"
    "stream",
    "stream_options",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "store",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "modalities",
    "audio",
    "moderation",
)


@pytest.fixture(scope="module")
def live(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key=server.live_key(), base_url=server.base_url, max_retries=0, timeout=30
    ) as client:
        yield client


@pytest.fixture(scope="module")
def test(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key=server.test_key(), base_url=server.base_url, max_retries=0, timeout=30
    ) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def local_models_are_known(live: openai.OpenAI) -> None:
    poll(lambda: any(m.id == "local-small" for m in live.models.list()), 15, "local models")


# ----------------------------------------------------------------------------- the core set


@pytest.mark.parametrize("check", sdk_core.CHECKS, ids=lambda check: check.__name__)
def test_newest_sdk(live, test, check):
    check(live, test)


def test_newest_sdk_is_the_third_line():
    assert openai.__version__.startswith("3.")


def test_oldest_sdk_line(server):
    require("openai1")
    python = ROOT / ".venv-openai1" / "bin" / "python"
    done = subprocess.run(
        [
            str(python),
            str(Path(sdk_core.__file__)),
            server.base_url,
            server.live_key(),
            server.test_key(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(sdk_core.CHECKS)} passed, 0 failed" in done.stdout
    assert "openai 1." in done.stdout


@pytest.mark.node
def test_node_sdk(server):
    require("node")
    require("node_modules")
    folder = ROOT / "tests" / "node"
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "sdk.test.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "BASE_URL": server.base_url,
            "LIVE_KEY": server.live_key(),
            "TEST_KEY": server.test_key(),
        },
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    names = re.findall(r'^test\("([^"]+)"', (folder / "sdk.test.mjs").read_text(), re.MULTILINE)
    assert len(names) >= 15
    for name in names:
        assert re.search(rf"^ok \d+ - {re.escape(name)}$", done.stdout, re.MULTILINE), name
    assert "# fail 0" in done.stdout


# ----------------------------------------------------------------------------- answers


@pytest.mark.parametrize("model", ["gpt-4o", "local-small", "deepseek-chat"])
def test_streamed_text_equals_whole_text(live, model):
    whole = live.chat.completions.create(model=model, messages=MESSAGES)
    with live.chat.completions.create(model=model, messages=MESSAGES, stream=True) as chunks:
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert streamed == whole.choices[0].message.content == TEXT


def test_two_choices(live):
    with live.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, n=2, stream=True
    ) as chunks:
        choices = [chunk.choices[0] for chunk in chunks]
    assert list(dict.fromkeys(choice.index for choice in choices)) == [0, 1]
    assert [c.index for c in choices if c.finish_reason] == [0, 1]


def test_logprobs(live):
    done = live.chat.completions.create(model="gpt-4o", messages=MESSAGES, logprobs=True)
    assert done.choices[0].logprobs.content[0].logprob == -0.25


def test_refusal_and_length(live):
    refused = live.chat.completions.create(model="gpt-4o", messages=sdk_core.scenario("refusal"))
    assert refused.choices[0].message.refusal and refused.choices[0].message.content is None
    cut = live.chat.completions.create(model="gpt-4o", messages=sdk_core.scenario("length"))
    assert cut.choices[0].finish_reason == "length"


def test_unicode_arrives_whole(live):
    with live.chat.completions.create(
        model="gpt-4o", messages=sdk_core.scenario("unicode"), stream=True
    ) as chunks:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "".join(UNICODE)


@pytest.mark.parametrize("model", ["gpt-4o", "local-small"])
def test_forced_tool(live, model):
    tools = [*sdk_core.TOOLS, {"type": "function", "function": {"name": "other"}}]
    done = live.chat.completions.create(
        model=model,
        messages=sdk_core.scenario("tools_named"),
        tools=tools,
        tool_choice={"type": "function", "function": {"name": "other"}},
    )
    assert [c.function.name for c in done.choices[0].message.tool_calls] == ["other"]


def test_tool_stream_helper(live):
    with live.chat.completions.stream(
        model="gpt-4o", tools=sdk_core.TOOLS, messages=sdk_core.scenario("tools_parallel")
    ) as events:
        done = events.get_final_completion()
    calls = done.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["lookup", "lookup"]
    assert [call.id for call in calls] == ["call_0abc", "call_1abc"]
    assert done.choices[0].finish_reason == "tool_calls"


def test_simulator_calls_a_tool_with_valid_arguments(test):
    done = test.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "test:tool"}], tools=sdk_core.TOOLS
    )
    arguments = json.loads(done.choices[0].message.tool_calls[0].function.arguments)
    assert set(arguments) == {"city"} and isinstance(arguments["city"], str)


def test_explicit_nulls_are_defaults(test):
    done = test.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, extra_body=dict.fromkeys(NULLABLE)
    )
    assert done.choices[0].finish_reason == "stop"


def test_images_have_a_url_by_default(test):
    done = test.images.generate(model="dall-e-3", prompt="A cat", n=2)
    for image in done.data:
        with httpx2.Client() as http:
            picture = http.get(image.url)
        assert picture.status_code == 200 and picture.content.startswith(b"\x89PNG\r\n\x1a\n")


def test_embeddings_have_the_length_of_their_model(test):
    done = test.embeddings.create(model="text-embedding-3-large", input="hello")
    assert len(done.data[0].embedding) == 3072


def test_model_ids_with_slashes_and_colons(live):
    assert live.models.retrieve("acme/llama-4:8b").object == "model"
    done = live.chat.completions.create(model="acme/llama-4:8b", messages=MESSAGES)
    assert done.choices[0].message.content == TEXT


# ----------------------------------------------------------------------------- headers and ids


def test_raw_response_has_the_promised_headers(live):
    raw = live.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert raw.parse().choices[0].message.content == TEXT
    assert raw.request_id == raw.headers["x-request-id"] == raw.parse()._request_id
    for name in ("Limit", "Remaining", "Reset"):
        assert int(raw.headers[f"X-RateLimit-{name}-Requests"]) > 0
    assert raw.headers["x-gateway-provider"] == "openai"
    assert raw.headers["x-gateway-attempts"] == "1"
    assert float(raw.headers["x-gateway-cost-usd"]) > 0


def test_streams_have_a_request_id(live):
    with live.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True) as chunks:
        assert chunks.response.headers["x-request-id"].startswith("req_")
        assert "x-gateway-cost-usd" not in chunks.response.headers
        list(chunks)


def test_test_mode_says_so(test):
    raw = test.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert raw.headers["x-gateway-mode"] == "test"
    assert raw.headers["x-gateway-provider"] == "simulator"


# ----------------------------------------------------------------------------- errors


def raises(client: openai.OpenAI, expected: type, **body) -> openai.APIStatusError:
    with pytest.raises(expected) as caught:
        client.chat.completions.create(**{"model": "gpt-4o", "messages": MESSAGES} | body)
    assert type(caught.value) is expected
    assert caught.value.request_id.startswith("req_")
    return caught.value


def test_bad_request(live):
    error = raises(live, openai.BadRequestError, temperature=3)
    assert (error.code, error.type, error.param) == (
        "decimal_above_max_value",
        "invalid_request_error",
        "temperature",
    )
    assert "Expected a value <= 2, but got 3 instead." in str(error)


@pytest.mark.parametrize("key", ["wrong", "sy_live_" + "0" * 36, "sk-proj-abc"])
def test_wrong_key(server, key):
    with openai.OpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client:
        error = raises(client, openai.AuthenticationError)
        assert (error.code, error.type) == ("invalid_api_key", "authentication_error")
        assert "Invalid API key provided." in str(error)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_account_without_api_access(server):
    server.flask("user", "create", "denied@example.com", "--password", "correct horse battery")
    server._users.add("denied")
    key = server.flask("key", "create", "denied@example.com").strip().splitlines()[-1]
    server.execute("UPDATE users SET api_access = 0 WHERE email = 'denied@example.com'")
    with openai.OpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client:
        error = raises(client, openai.PermissionDeniedError)
    assert (error.code, error.type) == ("api_access_disabled", "permission_error")


def test_model_outside_the_key(server):
    key = server.new_key("live", "enterprise")
    server.execute("""UPDATE api_keys SET models = '["gpt-4o-mini"]' WHERE id = (
                      SELECT id FROM api_keys ORDER BY created_at DESC, rowid DESC LIMIT 1)""")
    with openai.OpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client:
        error = raises(client, openai.PermissionDeniedError)
        assert (error.code, error.type) == ("model_not_allowed", "permission_error")
        assert [m.id for m in client.models.list()] == ["gpt-4o-mini"]


def test_unknown_model(live):
    error = raises(live, openai.NotFoundError, model="no-such/model")
    assert (error.code, error.type, error.param) == ("model_not_found", "not_found_error", "model")
    assert "does not exist or you do not have access to it" in str(error)
    with pytest.raises(openai.NotFoundError):
        live.models.retrieve("no-such/model")


def test_rate_limit(server):
    key = server.new_key("test", "free")
    with openai.OpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            for _ in range(21):
                client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


def test_our_fault_and_theirs(live, test):
    ours = raises(
        test, openai.InternalServerError, messages=[{"role": "user", "content": "test:500"}]
    )
    assert (ours.status_code, ours.code) == (500, "internal_error")
    theirs = raises(live, openai.InternalServerError, messages=sdk_core.scenario("error_first:500"))
    assert (theirs.status_code, theirs.code) == (503, "provider_unavailable")


def test_unserved_endpoint_names_the_one_to_use(live):
    with pytest.raises(openai.NotFoundError) as caught:
        live.responses.create(model="gpt-4o", input="hi")
    assert caught.value.code == "unknown_url"
    assert "chat/completions" in str(caught.value)


@pytest.mark.parametrize("scenario", ["error_mid", "cut_mid", "cut_clean"])
@pytest.mark.parametrize("model", ["gpt-4o", "local-small"])
def test_broken_stream_raises(live, scenario, model):
    with (
        live.chat.completions.create(
            model=model, messages=sdk_core.scenario(scenario), stream=True
        ) as chunks,
        pytest.raises(openai.APIError) as caught,
    ):
        for chunk in chunks:
            assert chunk.choices[0].finish_reason is None
    assert caught.value.code == "provider_unavailable"


def test_client_side_timeout(live):
    began = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        live.with_options(timeout=0.5).chat.completions.create(
            model="gpt-4o", messages=sdk_core.scenario("slow_first:20")
        )
    assert time.monotonic() - began < 5


# ----------------------------------------------------------------------------- retries


class FirstAsks(httpx2.BaseTransport):
    """Sends other prompts on the first tries of a call; what answers is the real server."""

    def __init__(self, prompts: list[str]) -> None:
        self.prompts = list(prompts)
        self.inner = httpx2.HTTPTransport()
        self.statuses: list[int] = []
        self.retry_counts: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.retry_counts.append(request.headers["x-stainless-retry-count"])
        if self.prompts:
            body = json.loads(request.content)
            body["messages"] = [{"role": "user", "content": self.prompts.pop(0)}]
            headers = {k: v for k, v in request.headers.items() if k != "content-length"}
            request = httpx2.Request(
                request.method,
                request.url,
                headers=headers,
                json=body,
                extensions=request.extensions,
            )
        response = self.inner.handle_request(request)
        self.statuses.append(response.status_code)
        return response

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long the SDK wanted to wait; it does not."""
    wanted: list[float] = []
    monkeypatch.setattr("time.sleep", wanted.append)
    return wanted


@pytest.mark.parametrize(
    ("prompts", "statuses"),
    [
        (["test:429"], [429, 200]),
        (["test:500"], [500, 200]),
        (["test:503", "test:429"], [503, 429, 200]),
    ],
)
def test_sdk_retries_and_succeeds(server, waits, prompts, statuses):
    transport = FirstAsks(prompts)
    key, base_url = server.test_key(), server.base_url
    with openai.OpenAI(
        api_key=key,
        base_url=base_url,
        max_retries=2,
        http_client=httpx2.Client(transport=transport),
    ) as client:
        done = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert done.choices[0].finish_reason == "stop"
    assert transport.statuses == statuses
    assert transport.retry_counts == [str(i) for i in range(len(statuses))]
    for prompt, wait in zip(prompts, waits, strict=True):
        assert wait == 1 if prompt in ("test:429", "test:503") else 0.3 < wait <= 0.5


def test_sdk_gives_up_after_its_retries(server, waits):
    transport = FirstAsks(["test:500"] * 5)
    key, base_url = server.test_key(), server.base_url
    with openai.OpenAI(
        api_key=key,
        base_url=base_url,
        max_retries=2,
        http_client=httpx2.Client(transport=transport),
    ) as client:
        raises(client, openai.InternalServerError)
    assert transport.statuses == [500, 500, 500]


def test_client_errors_are_not_retried(server, waits):
    transport = FirstAsks(["test:400"] * 5)
    key, base_url = server.test_key(), server.base_url
    with openai.OpenAI(
        api_key=key,
        base_url=base_url,
        max_retries=2,
        http_client=httpx2.Client(transport=transport),
    ) as client:
        raises(client, openai.BadRequestError)
    assert transport.statuses == [400] and waits == []


class City(BaseModel):
    name: str
    tags: list[str]
    inner: sdk_core.Answer


@pytest.mark.parametrize("model", ["gpt-4o", "local-small"])
def test_nested_structured_output(live, model):
    done = live.chat.completions.parse(model=model, messages=MESSAGES, response_format=City)
    assert done.choices[0].message.parsed.inner.city == "Paris"
