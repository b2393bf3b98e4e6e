"""The ways to ask: surface, model and kind of answer, and how each answer is read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import requests

from tests.api.wire import check_error, check_stream, payloads
from tests.conftest import Server

JSON = dict[str, Any]
CLAUDE, GEMINI, LOCAL, OPENAI = "claude-sonnet-4-6", "gemini-2.5-flash", "local-small", "gpt-4o"
STATUSES = {400: "INVALID_ARGUMENT", 413: "INVALID_ARGUMENT", 503: "UNAVAILABLE"}
ROLES = {"v1": ("user", "assistant"), "google": ("user", "model")}
ENOUGH = 1000
"""Tokens that an answer may have."""


@dataclass(frozen=True)
class Way:
    """A surface, a model, and how it answers: whole, sse, array (of chunks), or collected.

    A whole answer of Claude's without a limit may become long, so that the gateway asks for a
    stream and collects it.
    """

    surface: str
    model: str
    how: str

    def __str__(self) -> str:
        return f"{self.surface}-{self.model}-{self.how}"

    @property
    def streams(self) -> bool:
        """Does the caller get a stream?"""
        return self.how in ("sse", "array")

    @property
    def reads_stream(self) -> bool:
        """Does the provider send one?"""
        return self.how != "whole"

    @property
    def passes(self) -> bool:
        """Do the provider's own bytes go through?"""
        return (self.surface, self.model) == ("google", GEMINI)

    @property
    def path(self) -> str:
        if self.surface == "v1":
            return "/api/v1/chat/completions"
        method = "streamGenerateContent" if self.streams else "generateContent"
        query = "?alt=sse" if self.how == "sse" else ""
        return f"/api/v1beta/models/{self.model}:{method}{query}"

    def body(self, *texts: str, **more: Any) -> JSON:
        """What user and model say by turns; `more` goes into the body, or Google's config."""
        limit = None if self.how == "collected" else ENOUGH
        turns = list(zip(cycle(ROLES[self.surface]), texts, strict=False))
        if self.surface == "google":
            contents = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
            config = ({"maxOutputTokens": limit} if limit else {}) | more
            return {"contents": contents, "generationConfig": config}
        messages = [{"role": role, "content": text} for role, text in turns]
        body = {"model": self.model, "messages": messages} | (
            {"max_tokens": limit} if limit else {}
        )
        return body | self.streaming() | more

    def streaming(self) -> JSON:
        """What in an OpenAI body asks for a stream."""
        if not (self.streams and self.surface == "v1"):
            return {}
        return {"stream": True, "stream_options": {"include_usage": True}}


def ways(listed: str) -> list[Way]:
    """`surface/model/how` by lines."""
    return [Way(*line.split("/")) for line in listed.split()]


EVERY = ways(
    f"""
    v1/{CLAUDE}/whole      v1/{CLAUDE}/collected      v1/{CLAUDE}/sse
    v1/{GEMINI}/whole      v1/{GEMINI}/sse
    google/{CLAUDE}/whole  google/{CLAUDE}/collected  google/{CLAUDE}/sse  google/{CLAUDE}/array
    google/{GEMINI}/whole  google/{GEMINI}/sse        google/{GEMINI}/array
    google/{LOCAL}/whole   google/{LOCAL}/sse         google/{LOCAL}/array
    google/{OPENAI}/whole  google/{OPENAI}/sse        google/{OPENAI}/array
    """
)
STREAMED = [way for way in EVERY if way.streams]
WHOLE = [way for way in EVERY if not way.streams]


def send(
    server: Server, way: Way, body: JSON, *, key: str | None = None, headers: JSON | None = None
) -> requests.Response:
    """The answer, read to its end; an answer that is not properly ended raises."""
    key = key or server.live_key()
    return server.call("POST", way.path, key=key, json=body, headers=headers)


def ask(server: Server, way: Way, text: str, **more: Any) -> requests.Response:
    return send(server, way, way.body(text, **more))


# ----------------------------------------------------------------------------- reading


def chunks_of(way: Way, data: bytes) -> list[JSON]:
    """The objects of a stream, after the rules of the strictest reader of its kind."""
    if way.surface == "v1":
        return [json.loads(text) for text in payloads(data) if text != "[DONE]"]
    if way.how == "array":
        found: list[JSON] = json.loads(data)
        return found
    assert data.endswith(b"\n\n") and b"\r" not in data
    events = data.split(b"\n\n")[:-1]
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events), data[:500]
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def objects_of(way: Way, response: requests.Response) -> list[JSON]:
    """The chunks of a stream; a whole answer is the only one."""
    return chunks_of(way, response.content) if way.streams else [response.json()]


def parts_of(answer: JSON) -> list[JSON]:
    """Of Google's first candidate."""
    candidate = (answer.get("candidates") or [{}])[0]
    found: list[JSON] = candidate.get("content", {}).get("parts") or []
    return found


def said(way: Way, answer: JSON) -> str:
    """The visible text of a chunk or a whole answer."""
    if way.surface == "google":
        return "".join(p.get("text", "") for p in parts_of(answer) if not p.get("thought"))
    choice = (answer.get("choices") or [{}])[0]
    return (choice.get("delta") or choice.get("message") or {}).get("content") or ""


def finishes(way: Way, chunk: JSON) -> list[str]:
    if way.surface == "google":
        found, name = chunk.get("candidates") or [], "finishReason"
    else:
        found, name = chunk.get("choices") or [], "finish_reason"
    return [one[name] for one in found if one.get(name)]


def text_of(way: Way, response: requests.Response) -> str:
    """What a good answer says; a stream must keep the rules of its surface."""
    assert response.status_code == 200, response.text
    if way.streams:
        check_whole_stream(way, response)
    return "".join(said(way, one) for one in objects_of(way, response))


# ----------------------------------------------------------------------------- checking


def check_whole_stream(way: Way, response: requests.Response) -> None:
    if way.surface == "v1":
        check_stream(response.content, asked_usage=True)
        return
    kind = "text/event-stream" if way.how == "sse" else "application/json"
    assert response.headers["content-type"].startswith(kind)
    found = chunks_of(way, response.content)
    assert [len(finishes(way, chunk)) for chunk in found] == [0] * (len(found) - 1) + [1]
    assert "usageMetadata" in found[-1]
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in found}) == 1


def check_google_error(body: JSON, status: int, code: str) -> JSON:
    """`error` is the first key, `code` an integer, and our own code stands in the details."""
    assert list(body) == ["error"]
    error: JSON = body["error"]
    assert type(error["code"]) is int and error["code"] == status, error
    assert error["status"] == STATUSES[status]
    details = {one["@type"].rpartition(".")[2]: one for one in error["details"]}
    assert details["ErrorInfo"]["metadata"]["code"] == code, error
    assert error["message"]
    return error


def check_refused(way: Way, response: requests.Response, status: int, code: str) -> JSON:
    """An HTTP error in the caller's shape, for whole answers and streams alike."""
    if way.surface == "v1":
        return check_error(response, status, code)
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    return check_google_error(response.json(), status, code)
