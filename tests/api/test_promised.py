"""What the platform promised its users, line by line, with their own samples.

`promised/` holds the samples verbatim; only host and key are put in. Test keys, so that the
simulator answers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT, Server, require

SAMPLES = Path(__file__).parent / "promised"
HOST = "https://your-domain.com"
KEY = "YOUR_API_KEY"
PNG = b"\x89PNG\r\n\x1a\n"


def sample(name: str, server: Server, key: str) -> str:
    text = (SAMPLES / name).read_text()
    assert HOST in text and KEY in text
    return text.replace(HOST, server.root_url).replace(KEY, key)


def shape_of(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def run(command: list[str], **options: Any) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_curl(server: Server, name: str, key: str | None = None) -> Any:
    """The JSON that a curl sample prints."""
    require("curl")
    return json.loads(run(["bash", "-c", sample(name, server, key or server.test_key())]))


def run_python(server: Server, name: str) -> str:
    return run([sys.executable, "-c", sample(name, server, server.test_key())], cwd="/")


def run_node(server: Server, name: str, tmp_path: Path) -> str:
    require("node")
    require("node_modules")
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "node" / "node_modules")
    script = tmp_path / name
    script.write_text(sample(name, server, server.test_key()))
    return run([shutil.which("node"), str(script)], cwd=tmp_path)


def check_shape(answer: Any, promised: Any, path: str = "") -> None:
    """Everything promised is there, of the promised type; more may be."""
    assert type(answer) is type(promised), f"{path}: {answer!r}"
    if isinstance(promised, dict):
        for name, value in promised.items():
            assert name in answer, f"{path}.{name}"
            check_shape(answer[name], value, f"{path}.{name}")
    elif isinstance(promised, list):
        for item in answer:
            check_shape(item, promised[0], f"{path}[]")


# ----------------------------------------------------------------------------- chat


@pytest.mark.parametrize("name", ["chat_hello.sh", "chat.sh"])
def test_chat_with_curl(server, name):
    answer = run_curl(server, name)
    check_shape(answer, shape_of("chat_response.json"))
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert abs(answer["created"] - time.time()) < 60
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_chat_with_python(server):
    assert run_python(server, "chat.py.txt").strip()


@pytest.mark.node
def test_chat_with_node(server, tmp_path):
    assert run_node(server, "chat.mjs", tmp_path).strip()


CHAT_PARAMETERS = [
    {"temperature": 0},
    {"temperature": 2},
    {"max_tokens": 1},
    {"stream": False},
    {"top_p": 0.1},
    {"top_p": 1},
    {"stop": "x"},
    {"stop": ["a", "b", "c", "d"]},
    {
        "messages": [{"role": role, "content": "x"} for role in ("system", "user", "assistant")]
        + [{"role": "user", "content": "y"}]
    },
]


@pytest.mark.parametrize("more", CHAT_PARAMETERS, ids=str)
def test_chat_parameters(server, more):
    response = server.chat(server.test_key(), **more)
    assert response.status_code == 200, response.text
    check_shape(response.json(), shape_of("chat_response.json"))


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_chat_required_parameters(server, missing):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    del body[missing]
    response = server.call("POST", "/api/v1/chat/completions", key=server.test_key(), json=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["param"] == missing


def test_max_tokens_is_honoured(server):
    answer = server.chat(server.test_key(), "test:long", max_tokens=3).json()
    assert answer["usage"]["completion_tokens"] <= 3
    assert answer["choices"][0]["finish_reason"] == "length"


def test_stop_is_honoured(server):
    whole = server.chat(server.test_key(), "test:long").json()["choices"][0]["message"]["content"]
    word = whole.split()[4]
    answer = server.chat(server.test_key(), "test:long", stop=[word]).json()
    assert answer["choices"][0]["message"]["content"] == whole[: whole.index(word)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_streams_are_server_sent_events(server):
    with server.chat(server.test_key(), stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.content.endswith(b"data: [DONE]\n\n")


# ----------------------------------------------------------------------------- images


def fetch_png(url: str) -> bytes:
    picture = requests.get(url, timeout=30)
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(PNG)
    return picture.content


def size_of(png: bytes) -> str:
    return f"{int.from_bytes(png[16:20])}x{int.from_bytes(png[20:24])}"


def test_image_with_curl(server):
    answer = run_curl(server, "images.sh")
    check_shape(answer, shape_of("images_response.json") | {"data": [{"url": ""}]})
    assert len(answer["data"]) == 1
    assert size_of(fetch_png(answer["data"][0]["url"])) == "1024x1024"


def test_image_with_python(server):
    fetch_png(run_python(server, "images.py.txt").strip())


@pytest.mark.node
def test_image_with_node(server, tmp_path):
    fetch_png(run_node(server, "images.mjs", tmp_path).strip())


def make_image(server: Server, **more: Any) -> requests.Response:
    body = {"model": "dall-e-3", "prompt": "A cat"} | more
    return server.call("POST", "/api/v1/images/generations", key=server.test_key(), json=body)


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"])
def test_image_sizes(server, size):
    model = "dall-e-2" if size in ("256x256", "512x512") else "dall-e-3"
    answer = make_image(server, size=size, model=model)
    assert answer.status_code == 200, answer.text
    assert size_of(fetch_png(answer.json()["data"][0]["url"])) == size


@pytest.mark.parametrize(
    "more",
    [
        {"quality": "standard"},
        {"quality": "hd"},
        {"model": "dall-e-2"},
        {"prompt": "x" * 4000},
        {"response_format": "url"},
    ],
    ids=lambda more: str(more)[:40],
)
def test_image_parameters(server, more):
    answer = make_image(server, **more)
    assert answer.status_code == 200, answer.text
    fetch_png(answer.json()["data"][0]["url"])


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_image_count(server, n):
    answer = make_image(server, n=n, size="256x256", model="dall-e-2").json()
    assert len({item["url"] for item in answer["data"]}) == n


def test_image_as_base64(server):
    import base64

    item = make_image(server, response_format="b64_json").json()["data"][0]
    assert base64.b64decode(item["b64_json"]).startswith(PNG)
    assert "url" not in item


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": "x" * 4001}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"size": "1x1"}, "size"),
        ({"quality": "bad"}, "quality"),
        ({"response_format": "gif"}, "response_format"),
        ({"prompt": None}, "prompt"),
    ],
    ids=str,
)
def test_image_refusals(server, more, param):
    answer = make_image(server, **more)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param


# ----------------------------------------------------------------------------- models


def test_models_with_curl(server):
    answer = run_curl(server, "models.sh")
    promised = shape_of("models_response.json")
    check_shape(answer, promised)
    listed = {model["id"]: model for model in answer["data"]}
    for model in promised["data"]:
        found = listed[model["id"]]
        assert {name: found[name] for name in model} == model
        assert isinstance(found["created"], int)
    assert {"dall-e-2"} <= set(listed)
    assert any("deepseek" in name for name in listed)
    assert any("opus" in name for name in listed)


def test_every_listed_chat_model_answers(server):
    key = server.test_key()
    listed = [m["id"] for m in run_curl(server, "models.sh")["data"]]
    for name in (
        "gpt-4o",
        "gpt-4o-mini",
        "claude-sonnet-4-20250514",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "deepseek-chat",
        "deepseek-reasoner",
    ):
        assert name in listed
        assert server.chat(key, model=name).status_code == 200


# ----------------------------------------------------------------------------- Gemini


def test_gemini_with_curl(server):
    answer = run_curl(server, "gemini.sh")
    check_shape(answer, shape_of("gemini_response.json"))
    usage = answer["usageMetadata"]
    assert answer["candidates"][0]["finishReason"] == "STOP"
    assert answer["candidates"][0]["content"]["role"] == "model"
    assert usage["totalTokenCount"] >= usage["promptTokenCount"] + usage["candidatesTokenCount"]


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-2.5-flash", "gpt-4o"])
def test_gemini_models(server, model):
    answer = server.call(
        "POST",
        f"/api/v1beta/models/{model}:generateContent",
        headers={"x-goog-api-key": server.test_key()},
        json={"contents": [{"parts": [{"text": "Hi"}]}]},
    )
    assert answer.status_code == 200, answer.text
    check_shape(answer.json(), shape_of("gemini_response.json"))


# ----------------------------------------------------------------------------- limits


def window(response: requests.Response) -> tuple[int, int, int]:
    return tuple(
        int(response.headers[f"X-RateLimit-{name}-Requests"])
        for name in ("Limit", "Remaining", "Reset")
    )


def same_window(ask: Any, count: int) -> list[requests.Response]:
    """`count` answers within one UTC minute: waits for the next one when there is too little."""
    left = 60 - time.time() % 60
    if left < 8:
        time.sleep(left + 0.05)
    return [ask() for _ in range(count)]


def test_limit_headers(server):
    first, second = same_window(lambda: server.chat(server.test_key("pro")), 2)
    (limit, remaining, reset), (_, remaining_2, reset_2) = window(first), window(second)
    assert limit == 300
    assert remaining_2 == remaining - 1
    assert reset == reset_2 and reset % 60 == 0
    assert 0 < reset - time.time() <= 60


@pytest.mark.parametrize(
    ("plan", "chat", "images"),
    [
        ("free", 10, 5),
        ("standard", 60, 20),
        ("pro", 300, 60),
        ("enterprise", 1_000_000, 1_000_000),
    ],
)
def test_plans(server, plan, chat, images):
    key = server.new_key("test", plan)
    assert window(server.chat(key))[0] == chat
    picture = server.call(
        "POST",
        "/api/v1/images/generations",
        key=key,
        json={"model": "dall-e-2", "prompt": "x", "size": "256x256"},
    )
    assert window(picture)[0] == images


def test_new_accounts_are_on_the_free_plan(server):
    server.flask("user", "create", "newcomer@example.com", "--password", "correct horse battery")
    key = server.flask("key", "create", "newcomer@example.com", "--mode", "test").split()[-1]
    assert window(server.chat(key))[0] == 10


def check_limit(answers: list[requests.Response], limit: int) -> None:
    assert [a.status_code for a in answers] == [200] * limit + [429]
    assert [window(a)[1] for a in answers] == [*range(limit - 1, -1, -1), 0]
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    wait = int(answers[-1].headers["Retry-After"])
    assert 1 <= wait <= 60 and abs(time.time() + wait - window(answers[-1])[2]) <= 2


def test_free_plan_allows_ten_chats_a_minute(server):
    key = server.new_key("test", "free")
    check_limit(same_window(lambda: server.chat(key), 11), 10)


def test_free_plan_allows_five_images_a_minute(server):
    key = server.new_key("test", "free")

    def ask() -> requests.Response:
        return server.call(
            "POST",
            "/api/v1/images/generations",
            key=key,
            json={"model": "dall-e-2", "prompt": "x", "size": "256x256"},
        )

    check_limit(same_window(ask, 6), 5)
    assert server.chat(key).status_code == 200, "images and chats are counted apart"


def test_both_surfaces_share_one_limit(server):
    key = server.new_key("test", "free")

    def ask() -> requests.Response:
        return server.call(
            "POST",
            "/api/v1beta/models/gemini-2.5-pro:generateContent",
            headers={"x-goog-api-key": key},
            json={"contents": [{"parts": [{"text": "Hi"}]}]},
        )

    answers = same_window(ask, 10)
    assert [a.status_code for a in answers] == [200] * 10
    assert server.chat(key).status_code == 429
    assert ask().status_code == 429


def test_a_refused_body_does_not_count(server):
    key = server.new_key("test", "free")
    answers = same_window(lambda: server.chat(key, temperature=3), 12)
    assert {a.status_code for a in answers} == {400}
    assert window(server.chat(key))[1] == 9


# ----------------------------------------------------------------------------- errors


def test_invalid_key_error(server):
    promised = shape_of("error_response.json")["error"]
    for name in ("chat_hello.sh", "images.sh", "models.sh"):
        answer = run_curl(server, name, key="not-a-key")
        assert {k: answer["error"][k] for k in promised} == promised
        assert set(answer) == {"error"}
        assert set(answer["error"]) <= {"message", "type", "param", "code", "doc_url", "request_id"}


ERRORS = [  # status, type, how to get it with a test key
    (400, "invalid_request_error", {"temperature": 3}),
    (404, "not_found_error", {"model": "no-such-model"}),
    (429, "rate_limit_error", {"text": "test:429"}),
    (500, "internal_server_error", {"text": "test:500"}),
    (503, "service_unavailable_error", {"text": "test:503"}),
]


@pytest.mark.parametrize(("status", "type_", "how"), ERRORS)
def test_promised_errors(server, status, type_, how):
    response = server.chat(server.test_key(), **how)
    assert response.status_code == status
    assert response.json()["error"]["type"] == type_
    assert {"message", "type", "code"} <= set(response.json()["error"])


def test_disabled_account_is_403(server):
    server.flask("user", "create", "disabled@example.com", "--password", "correct horse battery")
    key = server.flask("key", "create", "disabled@example.com", "--mode", "test").split()[-1]
    server.execute("UPDATE users SET api_access = 0 WHERE email = 'disabled@example.com'")
    response = server.chat(key)
    assert response.status_code == 403
    assert response.json()["error"]["type"] == "permission_error"
