"""OpenAI, DeepSeek and a local server told apart: what each refuses beyond `openai`'s rules.

`openai` checks what the three have in common. Here stand the keys that each takes in messages, and
DeepSeek's thinking mode (translation, section 10; openai-wire, section 1.3). The answers know

    thinking, thinking_tools    reasoning (DeepSeek: `reasoning_content`, local: `reasoning`)
    tools_text, zeroarg, empty  text before a call; a call without arguments; nothing at all
    cached                      a prompt that was mostly read from a cache

After tool messages the answer is a text that quotes them, whatever the scenario.
"""

from __future__ import annotations

import json
from functools import cached_property

from tests.fakes import openai, signatures
from tests.fakes.openai import DEEPSEEK_KEY, LOCAL_KEY, OPENAI_KEY, bad
from tests.fakes.play import CITIES, JSON, THOUGHTS, Play, Refusal, Reply, Request, scenario_of

HEADERS = openai.HEADERS
COMMON_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "annotations"}
MESSAGE_KEYS = {
    OPENAI_KEY: COMMON_KEYS | {"refusal", "audio", "function_call"},
    DEEPSEEK_KEY: COMMON_KEYS | {"reasoning_content"},
    LOCAL_KEY: COMMON_KEYS | {"reasoning_content", "reasoning", "refusal"},
}
CALL_KEYS = {"id", "type", "function", "custom", "index"}
LOCAL_CALL_KEYS = CALL_KEYS | {"extra_content"}
"""A server of one's own may be Google's: it is given what its signatures are carried in."""
MAX_ID = 40


# ----------------------------------------------------------------------------- refusals


def check_keys(body: JSON, key: str) -> None:
    """9.1 and 9.3: no key that the service has not, no id that is too long for it."""
    for place, message in enumerate(body["messages"]):
        unknown = [name for name in message if name not in MESSAGE_KEYS[key]]
        for call in message.get("tool_calls") or ():
            known = LOCAL_CALL_KEYS if key == LOCAL_KEY else CALL_KEYS
            unknown += [f"tool_calls.{name}" for name in call if name not in known]
            check_call(f"messages[{place}]", call)
        if unknown:
            path = f"messages[{place}].{unknown[0]}"
            raise bad(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)


def check_call(path: str, call: JSON) -> None:
    if len(call["id"]) > MAX_ID:
        raise bad(
            f"Invalid '{path}.tool_calls[0].id': string too long. Expected a string with maximum "
            f"length {MAX_ID}, but got a string with length {len(call['id'])} instead.",
            code="string_above_max_length",
        )
    if "function" in call and not openai.TOOL_NAME.fullmatch(call["function"]["name"]):
        raise bad(f"Invalid '{path}.tool_calls[0].function.name': string does not match pattern.")


NOT_DEEPSEEK = ("max_completion_tokens", "n", "seed", "logit_bias")


def thinks(body: JSON) -> bool:
    """DeepSeek thinks unless it is told not to."""
    return (body.get("thinking") or {}).get("type") != "disabled"


def check_deepseek(body: JSON) -> None:
    """10, row by row."""
    if unknown := [name for name in NOT_DEEPSEEK if body.get(name) is not None]:
        raise bad(f"Unknown parameter: {unknown[0]}")
    if (body.get("thinking") or {}).get("type", "enabled") not in ("enabled", "disabled"):
        raise bad("thinking.type: unknown variant")
    if body.get("reasoning_effort") not in (None, "low", "high", "max"):
        raise bad("reasoning_effort: expected one of `low`, `high`, `max`")
    if (body.get("response_format") or {}).get("type") == "json_schema":
        raise bad("This response_format type is unavailable now")
    for place, message in enumerate(body["messages"]):
        check_deepseek_content(place, message)
    if thinks(body):
        check_deepseek_thinking(body)


def check_deepseek_content(place: int, message: JSON) -> None:
    if message["role"] != "user" and not isinstance(message.get("content"), str):
        raise bad(f"messages[{place}]: invalid type: content must be a string")
    if isinstance(message["content"], list):
        odd = {part["type"] for part in message["content"]} - {"text", "image_url"}
        if odd:
            raise bad(f"messages[{place}]: unknown variant `{odd.pop()}`, expected `text`")


def check_deepseek_thinking(body: JSON) -> None:
    """What was thought before calls has to come back; calls can't be forced."""
    if body.get("tool_choice", "none") != "none":
        raise bad("Thinking mode does not support this tool_choice")
    has_called = False
    for message in body["messages"]:
        has_called |= bool(message.get("tool_calls"))
        is_own = message["role"] == "assistant"
        if has_called and is_own and not message.get("reasoning_content"):
            raise bad(
                "The `reasoning_content` in the thinking mode must be passed back to the API."
            )


def check_body(body: JSON, key: str) -> None:
    """Raise `Refusal` for everything that the service of this credential would refuse."""
    for one in openai.CHECKS:
        one(body, openai.PROFILES[key])
    check_keys(body, key)
    if key == DEEPSEEK_KEY:
        check_deepseek(body)


def check(request: Request) -> None:
    answer(request)


def answer(request: Request) -> Play | Reply:
    """Like `openai.answer`, but stricter with chat, and with more to say."""
    found = openai.answer(request)
    if type(found) is not openai.Chat:
        return found
    key = request.values("authorization")[0].removeprefix("Bearer ")
    check_body(found.body, key)
    return play_of(found.body, key)


# ----------------------------------------------------------------------------- answers

CALLING = ("tools", "thinking_tools", "zeroarg")
LETTERS = 6


class Completion(openai.Chat):
    """A chat completion of one of the three, known by `credential`."""

    @cached_property
    def _results(self) -> list[JSON]:
        """The tool messages that the conversation ends with."""
        found: list[JSON] = []
        for message in reversed(self.body["messages"]):
            if message["role"] != "tool":
                break
            found.insert(0, message)
        return found

    @cached_property
    def _calls(self) -> list[JSON]:
        names = [t["function"]["name"] for t in self.body.get("tools") or () if "function" in t]
        choice = self.body.get("tool_choice") or "auto"
        forced = choice == "required"
        if isinstance(choice, dict):
            allowed = choice.get("allowed_tools") or {"mode": "required", "tools": [choice]}
            names = [tool["function"]["name"] for tool in allowed["tools"]]
            forced = allowed["mode"] == "required"
        calls = forced or self.scenario.startswith(CALLING)
        if not names or choice == "none" or self._results or not calls:
            return []
        return [self._call(names[i % len(names)], i) for i in range(self._count)]

    @property
    def _count(self) -> int:
        several = self.scenario in ("tools_parallel", "thinking_tools")
        return 2 if several and self.body.get("parallel_tool_calls") is not False else 1

    def _call(self, name: str, place: int) -> JSON:
        """Ids are new in every turn. Without arguments some servers say "", others {}."""
        is_first = not any(message.get("tool_calls") for message in self.body["messages"])
        stem = "abc" if is_first else signatures.digest(self.body["messages"])[:16]
        given = json.dumps({"city": CITIES[place]}, ensure_ascii=False)
        if self.scenario == "zeroarg":
            given = "" if self.credential == LOCAL_KEY else "{}"
        function = {"name": name, "arguments": given}
        return {"id": f"call_{place}{stem}", "type": "function", "function": function}

    @property
    def _thoughts(self) -> list[str]:
        if self.credential == DEEPSEEK_KEY and thinks(self.body):
            return THOUGHTS
        is_asked = self.scenario.startswith("thinking") and self.credential == LOCAL_KEY
        return THOUGHTS if is_asked else []

    @property
    def _thought_key(self) -> str:
        return "reasoning" if self.credential == LOCAL_KEY else "reasoning_content"

    @cached_property
    def _texts(self) -> list[str]:
        if self._results:
            return [
                f"The result of {one['tool_call_id']} is: {one['content']}. "
                for one in self._results
            ]
        if self._calls:
            return ["Let me ", "look."] if self.scenario == "tools_text" else []
        if self.scenario in ("empty", "refusal"):
            return []
        if text := openai.structured(self):
            return [text[i : i + 5] for i in range(0, len(text), 5)]
        return list(self.words)

    @property
    def _refusal(self) -> str | None:
        is_refused = self.scenario == "refusal" and not self._results
        return "I can't help with that." if is_refused else None

    @property
    def _reason(self) -> str:
        if self._calls:
            return "tool_calls"
        odd = self.scenario in ("length", "content_filter") and not self._results
        return self.scenario if odd else "stop"

    @property
    def usage(self) -> JSON:
        if self.scenario == "cached":
            return self._usage_of(1110, 1000, 50, 20)
        prompt = 8 + 3 * len(self.body["messages"])
        thoughts = 20 if self._thoughts else 0
        written = len(self._texts) * (self.body.get("n") or 1) + 2 * len(self._calls)
        return self._usage_of(prompt, 4, written + thoughts, thoughts)

    def _usage_of(self, prompt: int, cached: int, completion: int, thoughts: int) -> JSON:
        usage: JSON = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "completion_tokens_details": {"reasoning_tokens": thoughts},
        }
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
        if self.credential == DEEPSEEK_KEY:
            misses = {"prompt_cache_miss_tokens": prompt - cached}
            return usage | {"prompt_cache_hit_tokens": cached} | misses
        return usage

    def whole(self) -> JSON:
        message: JSON = {"role": "assistant", "content": "".join(self._texts)}
        if self._refusal or (self._calls and not self._texts):
            message["content"] = None
        if self.credential == OPENAI_KEY:
            message |= {"refusal": self._refusal, "annotations": []}
        elif self._refusal:
            message["content"] = self._refusal
        if self._calls:
            message["tool_calls"] = self._calls
        if self._thoughts:
            message[self._thought_key] = "".join(self._thoughts)
        choices = [
            {"index": i, "message": message, "logprobs": None, "finish_reason": self._reason}
            for i in range(self.body.get("n") or 1)
        ]
        if self.body.get("logprobs"):
            entries = [openai.logprobs_for(word)["content"][0] for word in self._texts]
            for choice in choices:
                choice["logprobs"] = {"content": entries, "refusal": None}
        answer = openai.envelope(self, "chat.completion") | {"choices": choices}
        return answer if self.scenario == "nousage" else answer | {"usage": self.usage}

    def frames(self) -> list[bytes]:
        base = openai.envelope(self, "chat.completion.chunk")
        count = self.body.get("n") or 1
        steps = [(i, delta, None) for delta in self._deltas() for i in range(count)]
        steps += [(i, {}, self._reason) for i in range(count)]
        chunks = [base | {"choices": [openai.choice_of(self, *step)]} for step in steps]
        events = [openai.event(chunk) for chunk in openai.place_usage(self, chunks)]
        if self.credential == DEEPSEEK_KEY:
            events[0] = b": keep-alive\n\n" + events[0]
        return [*events, openai.event("[DONE]")]

    def _deltas(self) -> list[JSON]:
        first: JSON = {"role": "assistant", "content": None if self._calls else ""}
        deltas = [first, *({self._thought_key: text} for text in self._thoughts)]
        deltas += [{"content": text} for text in self._texts]
        if self._refusal:
            name = "refusal" if self.credential == OPENAI_KEY else "content"
            deltas += [{name: self._refusal[:8]}, {name: self._refusal[8:]}]
        return deltas + [d for i, c in enumerate(self._calls) for d in openai.call_deltas(i, c)]


# ----------------------------------------------------------------------------- for unit tests


def play_of(body: JSON, key: str) -> Completion:
    return Completion(body, *scenario_of(openai.last_user_text(body)), key)


def refusal_of(body: JSON, key: str = OPENAI_KEY) -> str | None:
    """The message with which the real service would refuse a body; None if it would answer."""
    try:
        check_body(body, key)
    except Refusal as refused:
        return refused.message
    return None


def stream_bytes(body: JSON, key: str = OPENAI_KEY) -> bytes:
    """The whole stream that answers a body."""
    return b"".join(play_of(body, key).frames())


def whole(body: JSON, key: str = OPENAI_KEY) -> JSON:
    """The completion that answers a body."""
    return play_of(body, key).whole()
