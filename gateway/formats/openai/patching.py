"""What a provider or a model wants otherwise in a Chat Completions body.

Each quirk of `providers.QUIRKS` is one function of a body that returns what to change in it (None
takes a field out), whether the body came from a caller as it is or was written by us. Facts:
reference/translation.md 9.6 and 10, openai-wire.md 1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.efforts import known_efforts, nearest
from gateway.formats.openai.requests import echoed_signature
from gateway.formats.openai.schema import calls_of
from gateway.losses import unsupported
from gateway.target import Target
from gateway.types import JSON, ToolCall

Patch = Callable[[JSON, Target], JSON]

UNKNOWN_REASONING = "(not recorded)"
"""Stands for reasoning that nobody kept: an empty text counts as missing."""


def patch_request(raw: bytes, body: JSON, target: Target, defaults: Mapping[str, Any]) -> bytes:
    """The body for an upstream of this very format: the bytes as they came if nothing changes.

    Sets the upstream's model name, asks for usage on streams (the tap needs it), lays `defaults`
    under what the caller said, minds the quirks, and drops top-level nulls, which mean "default"
    everywhere.
    """
    changes: JSON = {name: value for name, value in defaults.items() if body.get(name) is None}
    if target.quirks:
        changes |= changed({**body, **changes}, target)
    if body["model"] != target.upstream_model:
        changes["model"] = target.upstream_model
    if body.get("stream"):
        options = body.get("stream_options") or {}
        if not options.get("include_usage"):
            changes["stream_options"] = {**options, "include_usage": True}
    if not changes and None not in body.values():
        return raw
    patched = {**body, **changes}
    return orjson.dumps({name: value for name, value in patched.items() if value is not None})


def changed(body: JSON, target: Target) -> JSON:
    """All changes that the target's quirks ask for, each seeing those before it."""
    changes: JSON = {}
    for quirk, patch in PATCHES.items():
        if quirk in target.quirks:
            changes |= patch({**body, **changes}, target)
    return changes


def can_pass(body: JSON, target: Target) -> bool:
    """May answers to this body pass as they are, with nothing in them to be kept?"""
    return not (target.has("replay_reasoning") and body.get("tools"))


# ----------------------------------------------------------------------------- roles and texts


def _developer_as_system(body: JSON, _: Target) -> JSON:
    if not any(message["role"] == "developer" for message in body["messages"]):
        return {}
    return {
        "messages": [
            {**message, "role": "system"} if message["role"] == "developer" else message
            for message in body["messages"]
        ]
    }


def _string_content(body: JSON, target: Target) -> JSON:
    """Assistant and tool messages must have text, never null and never parts."""
    if all(isinstance(m.get("content"), str) or m["role"] == "user" for m in body["messages"]):
        return {}
    for message in body["messages"]:
        for name in _marks(message):
            target.losses.drop(name)
    return {"messages": [_with_text(message) for message in body["messages"]]}


def _marks(message: JSON) -> set[str]:
    """What the parts of a message say beside their text, which plain text can't."""
    if message["role"] == "user" or not isinstance(message.get("content"), list):
        return set()
    fields = {name for part in message["content"] for name, value in part.items() if value}
    return fields - {"type", "text", "refusal"}


def _text_tools(body: JSON, _: Target) -> JSON:
    if not any(message["role"] == "tool" and _shown(message) for message in body["messages"]):
        return {}
    return {"messages": list(pictures_after_tools(body["messages"]))}


def pictures_after_tools(messages: Iterable[JSON]) -> Iterator[JSON]:
    """Tool messages of text only: what they show comes from the user, after the last of them."""
    names: dict[str, str] = {}
    held: list[JSON] = []
    for message in messages:
        for call in calls_of(message):
            names[call["id"]] = (call.get("function") or call.get("custom"))["name"]
        if message["role"] != "tool":
            yield from _as_user(held)
            held = []
        elif shown := _shown(message):
            name = names.get(message["tool_call_id"], "the tool")
            held += [{"type": "text", "text": f"Output of {name}:"}, *shown]
            texts = [part for part in message["content"] if part not in shown]
            message = {**message, "content": "".join(part["text"] for part in texts)}
        yield message
    yield from _as_user(held)


def _shown(message: JSON) -> list[JSON]:
    content = message["content"]
    return [p for p in content if p["type"] != "text"] if isinstance(content, list) else []


def _as_user(parts: list[JSON]) -> list[JSON]:
    return [{"role": "user", "content": parts}] if parts else []


def _no_files(body: JSON, target: Target) -> JSON:
    """Raises `InvalidRequest` for media that no model of this provider, or not this one, takes."""
    for place, message in enumerate(body["messages"]):
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            is_file = part["type"] in ("file", "input_audio")
            if is_file or (part["type"] == "image_url" and not target.can("vision")):
                noun = {"file": "files", "input_audio": "audio"}.get(part["type"], "images")
                raise unsupported(
                    f"This model does not support {noun}.", f"messages[{place}].content[{number}]"
                )
    return {}


def _with_text(message: JSON) -> JSON:
    content = message.get("content")
    if message["role"] == "user" or isinstance(content, str):
        return message
    texts = [part.get("text") or part.get("refusal") or "" for part in content or ()]
    return {**message, "content": "".join(texts)}


# ----------------------------------------------------------------------------- limits and choices


def _max_tokens(body: JSON, _: Target) -> JSON:
    limit = body.get("max_completion_tokens")
    return {} if limit is None else {"max_tokens": limit, "max_completion_tokens": None}


def _no_choices(body: JSON, target: Target) -> JSON:
    if (body.get("n") or 1) > 1:
        target.losses.refuse("n", "It makes one answer at a time.")
    return _dropped(body, target, ("seed", "logit_bias"))


SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def _dropped(body: JSON, target: Target, names: tuple[str, ...]) -> JSON:
    given = [name for name in names if body.get(name) is not None]
    for name in given:
        target.losses.leave_out(name, body[name])
    return dict.fromkeys(given)


# ----------------------------------------------------------------------------- reasoning


def _reasoning_parameters(body: JSON, target: Target) -> JSON:
    """OpenAI's own: models that reason, and models that don't, refuse each other's parameters."""
    if not target.can("reasoning"):
        effort = body.get("reasoning_effort")
        if effort is None:
            return {}
        if effort != "none":
            target.losses.drop("reasoning_effort")
        return {"reasoning_effort": None}
    changes = _effort(body, target, known_efforts(target.capabilities))
    if body.get("max_tokens") is not None:
        limit = body.get("max_completion_tokens") or body["max_tokens"]
        changes |= {"max_completion_tokens": limit, "max_tokens": None}
    if not target.can("sampling"):
        changes |= _dropped(body, target, SAMPLING)
    return changes


def _effort(body: JSON, target: Target, known: frozenset[str]) -> JSON:
    effort = body.get("reasoning_effort")
    if effort is None or effort in known:
        return {}
    target.losses.clamp("reasoning_effort", nearest(effort, known))
    return {"reasoning_effort": nearest(effort, known)}


def _thinking_toggle(body: JSON, target: Target) -> JSON:
    """DeepSeek thinks unless told not to; the effort `none` tells it."""
    if not target.can("reasoning"):
        effort = body.get("reasoning_effort")
        if effort not in (None, "none"):
            target.losses.drop("reasoning_effort")
        return {"reasoning_effort": None} if effort else {}
    if body.get("reasoning_effort") == "none":
        return {"thinking": {"type": "disabled"}, "reasoning_effort": None}
    return {}


def _thinks(body: JSON) -> bool:
    thinking = body.get("thinking")  # an extension: whoever writes it may write anything
    return not isinstance(thinking, dict) or thinking.get("type") != "disabled"


LOW_HIGH_MAX = {"minimal": "low", "medium": "high", "xhigh": "high"}


def _effort_low_high_max(body: JSON, target: Target) -> JSON:
    effort = LOW_HIGH_MAX.get(body.get("reasoning_effort") or "")
    if effort is None:
        return {}
    target.losses.clamp("reasoning_effort", effort)
    return {"reasoning_effort": effort}


def _no_forced_tools_thinking(body: JSON, target: Target) -> JSON:
    """Thinking and a forced call exclude each other: who asked for the call gets the call."""
    choice = body.get("tool_choice")
    if choice in (None, "none") or not _thinks(body):
        return {}
    if choice == "auto":
        return {"tool_choice": None}
    if body.get("reasoning_effort"):
        target.losses.refuse("tool_choice", "It can't be forced to call a tool while it reasons.")
    return {"thinking": {"type": "disabled"}}


def _sampling_without_effect(body: JSON, target: Target) -> JSON:
    return _dropped(body, target, SAMPLING) if _thinks(body) else {}


def _replay_reasoning(body: JSON, target: Target) -> JSON:
    """From the first tool call on, the model wants its reasoning back with every message of its."""
    messages = body["messages"]
    if not _thinks(body) or not any(calls_of(message) for message in messages):
        return {}
    first = next(i for i, message in enumerate(messages) if calls_of(message))
    return {
        "messages": [
            _with_reasoning(message, target) if place >= first else message
            for place, message in enumerate(messages)
        ]
    }


def _with_reasoning(message: JSON, target: Target) -> JSON:
    if message["role"] != "assistant" or message.get("reasoning_content"):
        return message
    return {**message, "reasoning_content": _kept_reasoning(message, target) or UNKNOWN_REASONING}


def _kept_reasoning(message: JSON, target: Target) -> str:
    for call in calls_of(message):
        state = target.memory.recall(ToolCall(call["id"], "", "", echoed_signature(call)))
        if state is not None and state.vendor == target.provider:
            return "".join(block.text for block in state.blocks)
    return ""


def _no_signatures(body: JSON, _: Target) -> JSON:
    """What we let callers carry beside a call is not for other providers."""
    if not any(
        "extra_content" in call for message in body["messages"] for call in calls_of(message)
    ):
        return {}
    return {"messages": [_unsigned(message) for message in body["messages"]]}


def _unsigned(message: JSON) -> JSON:
    calls = calls_of(message)
    if not calls:
        return message
    bare = [{k: v for k, v in call.items() if k != "extra_content"} for call in calls]
    return {**message, "tool_calls": bare}


THOUGHTS = frozenset({"reasoning_content", "reasoning"})


def _no_thoughts(body: JSON, _: Target) -> JSON:
    """What another model thought is nothing that this provider would take back."""
    if not any(message.keys() & THOUGHTS for message in body["messages"]):
        return {}
    return {
        "messages": [
            {name: value for name, value in message.items() if name not in THOUGHTS}
            for message in body["messages"]
        ]
    }


def _reasoning_field(body: JSON, _: Target) -> JSON:
    """vLLM reads `reasoning` in the history, others `reasoning_content`: send both."""
    if not any(message.get("reasoning_content") for message in body["messages"]):
        return {}
    return {
        "messages": [
            {**message, "reasoning": message["reasoning_content"]}
            if message.get("reasoning_content")
            else message
            for message in body["messages"]
        ]
    }


# ----------------------------------------------------------------------------- the shape of answers


def _no_json_schema(body: JSON, target: Target) -> JSON:
    wanted = body.get("response_format") or {}
    if wanted.get("type") != "json_schema":
        return {}
    target.losses.emulate("response_format")
    schema = orjson.dumps(wanted["json_schema"].get("schema") or {}).decode()
    order = (
        f"Answer with one JSON object and nothing else. It must match this JSON Schema: {schema}"
    )
    return {
        "response_format": {"type": "json_object"},
        "messages": [{"role": "system", "content": order}, *body["messages"]],
    }


def _says_json(body: JSON, _: Target) -> JSON:
    """It answers with any JSON object only where a message speaks of JSON."""
    if (body.get("response_format") or {}).get("type") != "json_object":
        return {}
    if "json" in str(body["messages"]).lower():
        return {}
    order = {"role": "system", "content": "Answer in JSON."}
    return {"messages": [order, *body["messages"]]}


def _plain_chat(body: JSON, target: Target) -> JSON:
    """Raises `InvalidRequest` for what only OpenAI's own models and servers do."""
    for name in ("web_search_options", "audio"):
        if body.get(name) is not None:
            target.losses.refuse(name)
    if "audio" in (body.get("modalities") or ()):
        target.losses.refuse("modalities")
    if any(tool["type"] != "function" for tool in body.get("tools") or ()):
        target.losses.refuse("tools", "It takes tools of the type `function` only.")
    return {"modalities": None} if "modalities" in body else {}


PATCHES: Mapping[str, Patch] = {
    "plain_chat": _plain_chat,
    "no_files": _no_files,
    "text_tools": _text_tools,
    "developer_as_system": _developer_as_system,
    "no_json_schema": _no_json_schema,
    "says_json": _says_json,
    "max_tokens": _max_tokens,
    "reasoning_parameters": _reasoning_parameters,
    "thinking_toggle": _thinking_toggle,
    "no_forced_tools_thinking": _no_forced_tools_thinking,
    "effort_low_high_max": _effort_low_high_max,
    "sampling_without_effect": _sampling_without_effect,
    "replay_reasoning": _replay_reasoning,
    "no_signatures": _no_signatures,
    "no_thoughts": _no_thoughts,
    "reasoning_field": _reasoning_field,
    "string_content": _string_content,
    "no_choices": _no_choices,
}
"""What each quirk changes, in the order in which they are applied."""
