"""The dialect of Gemini: /v1beta/models/MODEL:METHOD and the list of models.

What it refuses stands in `gemini_rules`; here is what it answers (gemini-wire, sections 7 to 9).
Beyond the scenarios of every dialect it plays

    thinking, thinking_tools     thoughts where they are asked for; two calls in one chunk
    tools_text, zeroarg          text before a call; a call without args
    blocked[:REASON]             promptFeedback and no candidates
    finish:REASON, malformed     a candidate without parts; MALFORMED_FUNCTION_CALL
    empty, cached

After function responses the answer is a text that quotes them, whatever the scenario.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.fakes import gemini_rules as rules
from tests.fakes import signatures
from tests.fakes.gemini_rules import model_of, parts_with, refusal
from tests.fakes.play import (
    CITIES,
    JSON,
    THOUGHTS,
    Play,
    Refusal,
    Reply,
    Request,
    instance_of,
    scenario_of,
    strict_json,
)

GEMINI_KEY = "AIza-canary-9c0b71ee"
HEADERS = (
    "x-gemini-service-tier: standard-canary",
    "server-timing: gfet4t7; dur=3",
    "set-cookie: canary=1",
)
LISTED = ("gemini-3.8-flash", "gemini-3.1-pro-preview", "gemini-2.5-flash", "gemini-2.5-pro")
EMBEDDERS = ("gemini-embedding-001",)
UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use "
    "API Key or other form of API consumer identity to call this API."
)
FINISHES = {
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "PROHIBITED_CONTENT",
    "malformed": "MALFORMED_FUNCTION_CALL",
}
SILENT = ("refusal", "malformed", "finish", "empty")
CALLING = ("tools", "thinking_tools", "zeroarg")
DOT = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
).decode()


# ----------------------------------------------------------------------------- requests


def check_key(request: Request) -> None:
    """3, 10: the key in its header; never in the URL, where logs would keep it."""
    if "key" in request.query:
        raise rules.bad("The fake upstream takes no API key in the URL.")
    keys = request.values("x-goog-api-key")
    if not keys:
        raise refusal(403, UNREGISTERED)
    if keys != [GEMINI_KEY]:
        raise refusal(400, "API key not valid. Please pass a valid API key.", rules.BAD_KEY)


def read_body(request: Request) -> Any:
    if request.content_type != "application/json":
        raise rules.bad("Invalid content type: application/json is expected.")
    try:
        return strict_json(request.body)
    except ValueError as problem:
        raise rules.bad(f"Invalid JSON payload received. {problem}") from None


def check(request: Request) -> None:
    """Raise what the real service would refuse a request with."""
    answer(request)


def answer(request: Request) -> Play | Reply:
    check_key(request)
    if request.method == "GET":
        return listed(request.path)
    found = re.fullmatch(r"/v1beta/models/([^/]+):(\w+)", request.path)
    if request.method != "POST" or not found or found[2] not in METHODS:
        raise refusal(404, "Requested entity was not found.")
    name, method = found.groups()
    return METHODS[method](Call(name, method, request))


@dataclass
class Call:
    """A method of a model, as the URL names them."""

    name: str
    method: str
    request: Request

    @property
    def body(self) -> Any:
        return read_body(self.request)


def generate(call: Call) -> Play:
    alt = call.request.query.get("alt", ["json"])[-1]
    if alt not in ("json", "sse"):
        raise rules.bad(f"Invalid value for alt: {alt}")
    streams = call.method == "streamGenerateContent"
    try:
        body = rules.check_body(call.body, call.name)
    except Refusal as refused:
        if streams and alt != "sse":
            refused.body = [refused.body]
        raise
    return play_of(body, call.name, streams=streams, sse=alt == "sse")


def count(call: Call) -> Reply:
    """9: contents, or a whole request."""
    body = rules.shaped(call.body, rules.COUNT)
    if ("contents" in body) == ("generateContentRequest" in body):
        raise rules.bad("Exactly one of contents and generate_content_request must be set.")
    asked = body.get("generateContentRequest") or {"contents": body["contents"]}
    if "generateContentRequest" in body and "model" not in asked:
        raise rules.missing("model", "model is not specified")
    checked = rules.check_body(asked, call.name)
    total = tokens_of(checked)
    details = [{"modality": "TEXT", "tokenCount": total}]
    return Reply({"totalTokens": total, "promptTokensDetails": details})


def embed(call: Call) -> Reply:
    model_of(call.name, call.method)
    asked = rules.shaped(call.body, rules.EMBED)
    return Reply({"embedding": embedding(asked, call.name)})


def embed_many(call: Call) -> Reply:
    model_of(call.name, call.method)
    many = rules.shaped(call.body, rules.EMBED_MANY)["requests"]
    if not 1 <= len(many) <= 100:
        raise rules.bad("* BatchEmbedContentsRequest.requests: 1 to 100 requests in one batch\n")
    for i, one in enumerate(many):
        if "model" not in one:
            raise rules.bad(f"* BatchEmbedContentsRequest.requests[{i}].model: is required\n")
    vectors = [embedding(one, call.name) for one in many]
    return Reply({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 3 * len(many)}})


def embedding(asked: JSON, name: str) -> JSON:
    """Numbers that only the text decides."""
    texts = [part.get("text", "") for part in asked["content"].get("parts", [])]
    if not any(texts):
        raise rules.bad("* EmbedContentRequest.content: contents is not specified\n")
    if asked.get("model", f"models/{name}") != f"models/{name}":
        raise rules.bad(f"The model {asked['model']} is not the one in the URL.")
    size = int(asked.get("outputDimensionality", 8))
    seed = int(signatures.digest(texts), 16)
    return {"values": [((seed >> (i % 60)) % 1000 - 500) / 1000 for i in range(size)]}


METHODS = {
    "generateContent": generate,
    "streamGenerateContent": generate,
    "countTokens": count,
    "embedContent": embed,
    "batchEmbedContents": embed_many,
}


def listed(path: str) -> Reply:
    """9: every model, or one."""
    if path == "/v1beta/models":
        return Reply({"models": [model_object(name) for name in (*LISTED, *EMBEDDERS)]})
    name = path.removeprefix("/v1beta/models/")
    if name not in (*LISTED, *EMBEDDERS):
        model_of(name)
    return Reply(model_object(name))


def model_object(name: str) -> JSON:
    methods = ["embedContent"] if name in EMBEDDERS else ["generateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": methods,
    }


def tokens_of(body: JSON) -> int:
    return 8 + 3 * len(body["contents"])


def play_of(body: JSON, name: str, *, streams: bool = False, sse: bool = True) -> Generation:
    """The play of a checked body in camelCase."""
    users = [one for one in body["contents"] if one.get("role", "user") == "user"]
    texts = [text for one in users if (text := text_of(one))]
    play = Generation(body, *scenario_of(texts[-1] if texts else ""), GEMINI_KEY)
    play.name, play.is_stream, play.sse = name, streams, sse
    return play


def text_of(content: JSON) -> str:
    return "\n".join(part["text"] for part in parts_with(content, "text"))


# ----------------------------------------------------------------------------- answers (7)


class Generation(Play):
    """A candidate or several, whole, as SSE or as a JSON array."""

    midway = 503
    html = frozenset({413, 502})
    garbage = b'data: {"candidates": nonsense\xff\xfe}\r\n\r\n'
    name = ""
    is_stream = False
    sse = True

    @property
    def streams(self) -> bool:
        return self.is_stream

    @property
    def stream_type(self) -> str:  # type: ignore[override]
        return "text/event-stream" if self.sse else "application/json; charset=UTF-8"

    @property
    def _config(self) -> JSON:
        config: JSON = self.body.get("generationConfig", {})
        return config

    @property
    def _thinking(self) -> JSON:
        thinking: JSON = self._config.get("thinkingConfig", {})
        return thinking

    @cached_property
    def _results(self) -> list[JSON]:
        """The function responses that the conversation ends with."""
        last = parts_with(self.body["contents"][-1], "functionResponse")
        return [part["functionResponse"] for part in last]

    @cached_property
    def _calls(self) -> list[JSON]:
        """The parts with the calls to make; the first is signed (7)."""
        names = [
            one["name"]
            for tool in self.body.get("tools", [])
            for one in tool.get("functionDeclarations", [])
        ]
        config = self.body.get("toolConfig", {}).get("functionCallingConfig", {})
        mode = str(config.get("mode", "AUTO")).upper()
        calls = self.scenario.startswith(CALLING) or mode == "ANY"
        if not names or mode == "NONE" or self._results or not calls:
            return []
        names = config.get("allowedFunctionNames") or names
        several = self.scenario in ("tools_parallel", "thinking_tools")
        parts = [self._call_part(names[i % len(names)], i) for i in range(2 if several else 1)]
        parts[0]["thoughtSignature"] = self._signature(parts[0]["functionCall"])
        return parts

    def _call_part(self, name: str, index: int) -> JSON:
        """From 3 on calls have ids; a call without arguments has no args."""
        call: JSON = {"name": name}
        if model_of(self.name).is_three:
            call["id"] = signatures.digest([self.body["contents"], index])[:8]
        if self.scenario != "zeroarg":
            call["args"] = {"city": CITIES[index]}
        return {"functionCall": call}

    def _signature(self, call: JSON | None) -> str:
        bound = rules.call_digest(call) if call else ""
        return signatures.issue("gemini", {"model": self.name, "call": bound})

    @cached_property
    def steps(self) -> list[list[JSON]]:
        """The parts of the answer, one list for each chunk of a stream."""
        if self._results:
            return [*self._thoughts(), *texts([quoted(one) for one in self._results])]
        if self._calls:
            text = texts(["Let me ", "look."]) if self.scenario == "tools_text" else []
            together = self.scenario == "thinking_tools"
            calls = [self._calls] if together else [[part] for part in self._calls]
            return [*self._thoughts(), *text, *calls]
        if self.scenario in SILENT:
            return []
        return [*self._thoughts(), *texts(self._pieces()), *self._tail()]

    def _tail(self) -> list[list[JSON]]:
        """A picture where one is asked for; from 3 on the signature of a thoughtful text."""
        wanted = [str(one).upper() for one in self._config.get("responseModalities", [])]
        tail: list[list[JSON]] = []
        if "IMAGE" in wanted:
            tail.append([{"inlineData": {"mimeType": "image/png", "data": DOT}}])
        if self.scenario == "thinking" and model_of(self.name).is_three:
            tail.append([{"text": "", "thoughtSignature": self._signature(None)}])
        return tail

    def _thoughts(self) -> list[list[JSON]]:
        shown = self._thinks and self._thinking.get("includeThoughts")
        return [[{"text": text, "thought": True}] for text in THOUGHTS] if shown else []

    @property
    def _thinks(self) -> bool:
        model = model_of(self.name)
        can = model.is_three or bool(model.high)
        return can and self._thinking.get("thinkingBudget") not in (0, "0")

    def _pieces(self) -> list[str]:
        mime = self._config.get("responseMimeType", "text/plain")
        if mime == "text/plain":
            return self.words
        schema = self._config.get("responseJsonSchema") or self._config.get("responseSchema") or {}
        if mime == "text/x.enum":
            return [schema["enum"][0]]
        definitions = schema.get("$defs") or schema.get("defs") or {}
        value = instance_of(schema, definitions) if schema else {"ok": True}
        text = json.dumps(value, ensure_ascii=False)
        return [text[i : i + 5] for i in range(0, len(text), 5)]

    @property
    def _reason(self) -> str:
        if self._results or self._calls:
            return "STOP"
        if self.scenario == "finish":
            return self.argument
        return FINISHES.get(self.scenario, "STOP")

    @property
    def _blocked(self) -> bool:
        return self.scenario == "blocked" and not self._results

    @property
    def usage(self) -> JSON:
        if self.scenario == "cached":
            return usage_of(1110, 1000, 30, 20)
        prompt = tokens_of(self.body)
        if self._blocked:
            return usage_of(prompt, 0, 0, 0)
        number = int(self._config.get("candidateCount", 1))
        thoughts = (20 if self.scenario.startswith("thinking") else 2) if self._thinks else 0
        written = len(self.words) * number if self.steps else 0
        return usage_of(prompt, 4, written, thoughts)

    # -- one GenerateContentResponse

    def _response(self, candidates: list[JSON] | None, usage: JSON) -> JSON:
        response: JSON = {} if candidates is None else {"candidates": candidates}
        if candidates is None:
            response["promptFeedback"] = {"blockReason": self.argument or "SAFETY"}
        if self.scenario != "nousage":
            response["usageMetadata"] = usage
        tail = {"modelVersion": self.name, "responseId": f"fake{self.tag or 'x'}"}
        return response | tail

    def _candidates(self, parts: list[JSON], reason: str | None) -> list[JSON]:
        number = int(self._config.get("candidateCount", 1))
        return [self._candidate(parts, reason, i) for i in range(number)]

    def _candidate(self, parts: list[JSON], reason: str | None, index: int) -> JSON:
        content: JSON = {"parts": parts, "role": "model"} if parts else {}
        if self.scenario == "empty":
            content = {"role": "model"}
        candidate: JSON = {"content": content, "index": index}
        if reason:
            candidate["finishReason"] = reason
        if reason == "MALFORMED_FUNCTION_CALL":
            candidate["finishMessage"] = "Malformed function call: print(default_api.look"
        if reason and self._config.get("responseLogprobs"):
            chosen = [{"token": word, "logProbability": -0.25} for word in self.words]
            candidate["logprobsResult"] = {"chosenCandidates": chosen}
            candidate["avgLogprobs"] = -0.25
        return candidate

    def whole(self) -> JSON:
        if self._blocked:
            return self._response(None, self.usage)
        parts = merged([part for step in self.steps for part in step])
        return self._response(self._candidates(parts, self._reason), self.usage)

    # -- the stream (8)

    def responses(self) -> list[JSON]:
        """Usage on every chunk, counted up; the finish only on the last."""
        if self._blocked:
            return [self._response(None, self.usage)]
        steps = self.steps or [[]]
        last = len(steps) - 1
        return [
            self._response(
                self._candidates(step, self._reason if i == last else None),
                self.usage if i == last else self._usage_so_far(i),
            )
            for i, step in enumerate(steps)
        ]

    def _usage_so_far(self, index: int) -> JSON:
        """The first chunk may not know the output yet (8.2)."""
        prompt, thoughts = self.usage["promptTokenCount"], self.usage.get("thoughtsTokenCount", 0)
        cached = self.usage.get("cachedContentTokenCount", 0)
        usage = usage_of(prompt, cached, index, thoughts)
        if index == 0:
            del usage["candidatesTokenCount"], usage["candidatesTokensDetails"]
        return usage

    def frames(self) -> list[bytes]:
        texts = [json.dumps(one, ensure_ascii=False).encode() for one in self.responses()]
        if self.sse:
            return [b"data: " + text + b"\r\n\r\n" for text in texts]
        opened = [(b"[" if i == 0 else b",\r\n") + text for i, text in enumerate(texts)]
        return [*opened[:-1], opened[-1] + b"\n]\n"]

    # -- errors (10)

    def error(self, status: int, message: str | None = None) -> Any:
        """A list of one where the answer would have been a list (8.4)."""
        body = self._error(status, message)
        return [body] if self.streams and not self.sse else body

    def _error(self, status: int, message: str | None) -> JSON:
        text = rules.STATUSES.get(status, rules.STATUSES[500])[1] if message is None else message
        details = rules.QUOTA if status == 429 and self.scenario != "no_retry_after" else None
        return rules.error_body(status, text, details)

    def error_event(self, status: int, message: str | None = None, *, first: bool = False) -> bytes:
        text = json.dumps(self._error(status, message)).encode()
        if self.sse:
            return b"data: " + text + b"\r\n\r\n"
        return (b"[" if first else b",\r\n") + text + b"\n]\n"


def texts(pieces: list[str]) -> list[list[JSON]]:
    return [[{"text": piece}] for piece in pieces]


def merged(parts: list[JSON]) -> list[JSON]:
    """Neighbouring texts of one kind as one part; a late signature goes onto the text before it."""
    found: list[JSON] = []
    for part in parts:
        same = found and "text" in part and "text" in found[-1]
        if same and part.get("thought") == found[-1].get("thought"):
            found[-1] = found[-1] | part | {"text": found[-1]["text"] + part["text"]}
        else:
            found.append(part)
    return found


def quoted(result: JSON) -> str:
    pictures = [one["inlineData"]["mimeType"] for one in result.get("parts", [])]
    said = json.dumps(result["response"], ensure_ascii=False)
    return f"The result of {result['name']} is: {' '.join([said, *pictures])}. "


def usage_of(prompt: int, cached: int, written: int, thoughts: int) -> JSON:
    """The prompt includes what was cached, the output excludes the thoughts (7)."""
    usage: JSON = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": written,
        "totalTokenCount": prompt + written + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": written}],
    }
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if cached:
        usage["cachedContentTokenCount"] = cached
    return usage


# ----------------------------------------------------------------------------- for unit tests


def refusal_of(body: JSON, model: str) -> str | None:
    """The message with which the real service would refuse a body; None if it would answer."""
    try:
        rules.check_body(body, model)
    except Refusal as refused:
        return refused.message
    return None


def stream_bytes(body: JSON, model: str, *, sse: bool = True) -> bytes:
    """The whole stream that answers a body: SSE, or the JSON array."""
    play = play_of(rules.normal(body), model, streams=True, sse=sse)
    return b"".join(play.frames())


def whole(body: JSON, model: str) -> JSON:
    """The response that answers a body."""
    return play_of(rules.normal(body), model).whole()
