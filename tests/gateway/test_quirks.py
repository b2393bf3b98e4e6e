"""Quirks: what each changes in a body, be it a caller's own or one that we wrote.

DeepSeek's row by row (reference/translation.md 10), OpenAI's models that reason (openai-wire.md
1.2), compatible servers (translation.md 11).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import orjson
import pytest

import gateway
from gateway import catalog
from gateway.errors import InvalidRequest
from gateway.formats import openai
from gateway.formats.openai.patching import PATCHES, UNKNOWN_REASONING
from gateway.losses import Losses
from gateway.providers import QUIRKS, ROWS
from gateway.reasoning import State
from gateway.target import Target
from gateway.types import ChatRequest, Message, Reasoning, Text
from tests.gateway.targets import local_target, new_memory, shipped

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "4"}
HISTORY = [USER, CALLED, RESULT]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
MISSING = object()


def target_for(model_id, *, is_strict=False, memory=None):
    """Where a call of a shipped model goes, whichever model serves it."""
    model = shipped().find(model_id)
    place = model.deployments[0]
    return Target(
        provider=place.provider_name,
        upstream_model=place.upstream_model,
        capabilities=model.capabilities,
        losses=Losses({}, is_strict=is_strict),
        memory=memory or new_memory(),
        max_output=model.max_output,
        quirks=ROWS[place.provider_name].quirks,
        defaults=place.defaults,
    )


def passed(body, target):
    return orjson.loads(openai.patch_request(orjson.dumps(body), body, target, target.defaults))


def written(body, target):
    return openai.write_request(openai.read_request(body), target)


WAYS = pytest.mark.parametrize("way", [passed, written])


def sent(way, model_or_target, messages=None, **fields):
    """What a body becomes, and the warnings."""
    target = model_or_target
    if isinstance(target, str):
        target = target_for(target)
    body = {"model": "asked", "messages": messages or [USER], **fields}
    openai.check_request(body)
    return way(body, target), target.losses.warnings()


def refused(way, model, **fields):
    with pytest.raises(InvalidRequest) as caught:
        sent(way, model, **fields)
    return caught.value


# ----------------------------------------------------------------------------- none is forgotten


def sources():
    """The text of the gateway, without the table of quirks itself."""
    paths = Path(gateway.__file__).parent.rglob("*.py")
    return "".join(path.read_text() for path in paths if path.name != "providers.py")


def test_every_quirk_is_minded():
    read = set(re.findall(r"has\(\"(\w+)\"\)|\"(\w+)\" in provider\.quirks", sources()))
    named = set(PATCHES) | {name for pair in read for name in pair if name}
    assert named >= set(QUIRKS)


def test_only_known_quirks_are_minded():
    assert set(PATCHES) <= set(QUIRKS)
    assert set().union(*(row.quirks for row in ROWS.values())) == set(QUIRKS)


# ----------------------------------------------------------------------------- DeepSeek (10)

DEEPSEEK = "deepseek-v4-flash"


@WAYS
def test_deepseek_thinks_unless_told_not_to(way):
    body, warnings = sent(way, DEEPSEEK)
    assert body.get("thinking", MISSING) is MISSING and not warnings
    body, warnings = sent(way, DEEPSEEK, reasoning_effort="none")
    assert body["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in body and not warnings


@WAYS
@pytest.mark.parametrize(("asked", "gets"), [
    ("low", "low"), ("high", "high"), ("max", "max"),
    ("minimal", "low"), ("medium", "high"), ("xhigh", "high")])  # fmt: skip
def test_deepseek_knows_three_efforts(way, asked, gets):
    body, warnings = sent(way, DEEPSEEK, reasoning_effort=asked)
    assert body["reasoning_effort"] == gets
    assert warnings == ([] if asked == gets else [f"clamped=reasoning_effort:{gets}"])


@WAYS
@pytest.mark.parametrize("name", ["temperature", "top_p", "presence_penalty", "frequency_penalty"])
def test_deepseek_ignores_sampling_while_it_thinks(way, name):
    body, warnings = sent(way, DEEPSEEK, **{name: 0.5})
    assert name not in body and warnings == [f"dropped={name}"]
    body, warnings = sent(way, DEEPSEEK, **{name: 0.5, "reasoning_effort": "none"})
    assert body[name] == 0.5 and not warnings
    body, warnings = sent(way, "deepseek-chat", **{name: 0.5})
    assert body[name] == 0.5 and not warnings, "it does not think"


@WAYS
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_deepseek_calls_when_forced_and_then_does_not_think(way, choice):
    body, _ = sent(way, DEEPSEEK, tools=TOOLS, tool_choice=choice)
    assert body["tool_choice"] == choice
    assert body["thinking"] == {"type": "disabled"}


@WAYS
def test_deepseek_can_not_be_forced_and_think(way):
    error = refused(way, DEEPSEEK, tools=TOOLS, tool_choice="required", reasoning_effort="high")
    assert (error.code, error.param) == ("unsupported_parameter", "tool_choice")
    body, _ = sent(way, DEEPSEEK, tools=TOOLS, tool_choice="required", reasoning_effort="none")
    assert body["tool_choice"] == "required"


@WAYS
def test_deepseek_is_not_told_to_choose_freely_while_it_thinks(way):
    assert "tool_choice" not in sent(way, DEEPSEEK, tools=TOOLS, tool_choice="auto")[0]
    body, _ = sent(way, DEEPSEEK, tools=TOOLS, tool_choice="none")
    assert body["tool_choice"] == "none" and "thinking" not in body
    body, _ = sent(way, "deepseek-chat", tools=TOOLS, tool_choice="auto")
    assert body["tool_choice"] == "auto"


SCHEMA = {"type": "object", "properties": {"zebra": {"type": "string"}}}
SHAPE = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}


@WAYS
def test_deepseek_gets_a_schema_in_words(way):
    body, warnings = sent(way, DEEPSEEK, response_format=SHAPE)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["messages"][0]["content"]
    assert body["messages"][1:] == [USER]
    assert warnings == ["emulated=response_format"]


@WAYS
@pytest.mark.parametrize("model", [DEEPSEEK, "gpt-4o"])
def test_json_is_asked_for_in_a_message_where_none_speaks_of_it(way, model):
    body, warnings = sent(way, model, response_format={"type": "json_object"})
    assert "JSON" in body["messages"][0]["content"] and not warnings
    asking = [{"role": "user", "content": "As Json, please"}]
    body, _ = sent(way, model, asking, response_format={"type": "json_object"})
    assert body["messages"] == asking


@WAYS
def test_deepseek_takes_text_of_assistants_and_tools(way):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    refusal = [{"type": "refusal", "refusal": "no"}]
    messages = [
        {"role": "system", "content": parts},
        USER,
        {"role": "assistant", "content": refusal},
        CALLED,
        {**RESULT, "content": parts},
    ]
    body, _ = sent(way, DEEPSEEK, messages)
    assert [message["content"] for message in body["messages"]] == ["ab", "Hi", "no", "", "ab"]


@WAYS
@pytest.mark.parametrize("model", [DEEPSEEK, "local"])
def test_developers_are_the_system_where_nobody_knows_them(way, model):
    target = local_target() if model == "local" else model
    body, _ = sent(way, target, [{"role": "developer", "content": "x"}, USER])
    assert body["messages"] == [{"role": "system", "content": "x"}, USER]
    body, _ = sent(way, "gpt-5", [{"role": "developer", "content": "x"}, USER])
    assert body["messages"][0]["role"] == "developer"


@WAYS
@pytest.mark.parametrize("model", [DEEPSEEK, "local"])
@pytest.mark.parametrize("fields", [
    {"max_completion_tokens": 7}, {"max_tokens": 7}, {"max_completion_tokens": 7, "max_tokens": 9}])  # fmt: skip
def test_the_older_name_of_the_limit(way, model, fields):
    body, warnings = sent(way, local_target() if model == "local" else model, **fields)
    assert body["max_tokens"] == 7 and not warnings
    assert "max_completion_tokens" not in body


@WAYS
def test_deepseek_makes_one_answer(way):
    error = refused(way, DEEPSEEK, n=2)
    assert (error.code, error.param) == ("unsupported_parameter", "n")
    body, warnings = sent(way, DEEPSEEK, n=1, seed=7, logit_bias={"50": 1})
    assert not body.keys() & {"seed", "logit_bias"}
    assert warnings == ["dropped=seed,logit_bias"]
    assert sent(way, DEEPSEEK, logit_bias={})[1] == [], "that says nothing"


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}


@WAYS
@pytest.mark.parametrize(("model", "part", "is_taken"), [
    (DEEPSEEK, PICTURE, True), ("deepseek-v4-pro", PICTURE, False), (DEEPSEEK, FILE, False)])  # fmt: skip
def test_deepseek_takes_pictures_where_it_sees_and_no_files(way, model, part, is_taken):
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]
    if is_taken:
        assert part in sent(way, model, messages)[0]["messages"][0]["content"]
        return
    error = refused(way, model, messages=messages)
    assert (error.code, error.param) == ("unsupported_value", "messages[0].content[1]")


@pytest.mark.parametrize("thinking", [True, "enabled", None, [], {"type": "enabled"}, {"x": 1}])
def test_whatever_is_said_of_thinking_is_passed_on(thinking):
    body, _ = sent(passed, DEEPSEEK, thinking=thinking, tools=TOOLS, tool_choice="auto")
    assert body.get("thinking") == thinking


# ----------------------------------------------------------------------------- DeepSeek's replay


def remembering(text="because", vendor="deepseek", user="ada"):
    memory = new_memory(user)
    memory.remember("call_1", State(vendor, DEEPSEEK, (Reasoning(text), Reasoning(" so"))))
    return memory


def replayed(way, messages, memory=None, **fields):
    body, _ = sent(way, target_for(DEEPSEEK, memory=memory), messages, **fields)
    return [message.get("reasoning_content") for message in body["messages"]]


@WAYS
def test_deepseek_gets_its_reasoning_back(way):
    assert replayed(way, HISTORY, remembering()) == [None, "because so", None]


@WAYS
def test_what_callers_echo_goes_first(way):
    echoed = [USER, {**CALLED, "reasoning_content": "mine"}, RESULT]
    assert replayed(way, echoed, remembering()) == [None, "mine", None]


@WAYS
@pytest.mark.parametrize("blocks", [None, (), (Reasoning(""),)])
def test_what_nobody_kept_is_made_up_for(way, blocks):
    """An empty text counts as missing, so it is never sent."""
    memory = new_memory()
    if blocks is not None:
        memory.remember("call_1", State("deepseek", DEEPSEEK, blocks))
    assert replayed(way, HISTORY, memory) == [None, UNKNOWN_REASONING, None]


@WAYS
def test_what_another_vendor_thought_is_not_deepseeks(way):
    assert replayed(way, HISTORY, remembering(vendor="anthropic"))[1] == UNKNOWN_REASONING


@WAYS
def test_from_the_first_call_on_every_message_has_reasoning(way):
    said = {"role": "assistant", "content": "Four."}
    messages = [USER, said, USER, CALLED, RESULT, said, USER]
    assert replayed(way, messages, remembering()) == [
        None, None, None, "because so", None, UNKNOWN_REASONING, None,
    ]  # fmt: skip


@WAYS
def test_without_calls_nothing_is_replayed(way):
    said = {"role": "assistant", "content": "Four."}
    assert replayed(way, [USER, said, USER]) == [None, None, None]


@WAYS
def test_without_thinking_nothing_is_replayed(way):
    assert replayed(way, HISTORY, remembering(), reasoning_effort="none") == [None, None, None]


@WAYS
def test_a_sealed_state_is_deepseeks_own_too(way):
    """A Gemini client carries it in the signature of the call, and DeepSeek never sees that."""
    memory = new_memory()
    seal = memory.seal(State("deepseek", DEEPSEEK, (Reasoning("sealed"),)))
    signed = {**CALL, "extra_content": {"google": {"thought_signature": seal}}}
    target = target_for(DEEPSEEK, memory=memory)
    body, _ = sent(way, target, [USER, {**CALLED, "tool_calls": [signed]}, RESULT])
    assert body["messages"][1]["reasoning_content"] == "sealed"
    assert body["messages"][1]["tool_calls"] == [CALL]


@WAYS
@pytest.mark.parametrize("extra", [None, {}, "x", [1], {"google": None}, {"google": "x"}])
def test_whatever_stands_beside_a_call_is_taken_off(way, extra):
    odd = {**CALLED, "tool_calls": [{**CALL, "extra_content": extra}]}
    for model in (DEEPSEEK, "gpt-4o"):
        body, _ = sent(way, model, [USER, odd, RESULT])
        assert body["messages"][1]["tool_calls"] == [CALL]


def test_answers_that_have_to_be_kept_are_not_passed_through():
    target = target_for(DEEPSEEK)
    assert openai.can_pass({"messages": [USER]}, target)
    assert not openai.can_pass({"messages": [USER], "tools": TOOLS}, target)
    assert openai.can_pass({"messages": [USER], "tools": TOOLS}, target_for("gpt-4o"))


# ----------------------------------------------------------------------------- OpenAI

REASONING = "gpt-5"


@WAYS
@pytest.mark.parametrize("fields", [
    {"max_tokens": 7}, {"max_completion_tokens": 7}, {"max_completion_tokens": 7, "max_tokens": 9}])  # fmt: skip
def test_models_that_reason_know_the_newer_name_of_the_limit(way, fields):
    body, warnings = sent(way, REASONING, **fields)
    assert body["max_completion_tokens"] == 7 and not warnings
    assert "max_tokens" not in body


@WAYS
@pytest.mark.parametrize(("name", "default"), [
    ("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)])  # fmt: skip
def test_models_that_reason_take_no_sampling(way, name, default):
    body, warnings = sent(way, REASONING, **{name: 0.5})
    assert name not in body and warnings == [f"dropped={name}"]
    body, warnings = sent(way, REASONING, **{name: default})
    assert body.get(name, default) == default and not warnings
    assert sent(way, "gpt-4o", **{name: 0.5}) == (
        {"model": "gpt-4o", "messages": [USER], name: 0.5},
        [],
    )


@WAYS
@pytest.mark.parametrize(("model", "asked", "gets"), [
    ("gpt-5", "minimal", "minimal"), ("gpt-5", "none", "minimal"), ("gpt-5", "xhigh", "high"),
    ("gpt-5", "max", "high"), ("gpt-5.1", "none", "none"), ("gpt-5.1", "minimal", "none"),
    ("gpt-5.2", "xhigh", "xhigh"), ("gpt-5.2", "max", "xhigh"), ("o3", "none", "low")])  # fmt: skip
def test_models_know_their_efforts(way, model, asked, gets):
    body, warnings = sent(way, model, reasoning_effort=asked)
    assert body["reasoning_effort"] == gets
    assert warnings == ([] if asked == gets else [f"clamped=reasoning_effort:{gets}"])


@WAYS
def test_models_that_do_not_reason_take_no_effort(way):
    body, warnings = sent(way, "gpt-4o", reasoning_effort="high")
    assert "reasoning_effort" not in body and warnings == ["dropped=reasoning_effort"]
    body, warnings = sent(way, "gpt-4o", reasoning_effort="none")
    assert "reasoning_effort" not in body and not warnings, "it is what it does"


@WAYS
def test_openai_gets_no_thoughts_of_others(way):
    messages = [USER, {"role": "assistant", "content": "a", "reasoning_content": "hm"}, USER]
    body, warnings = sent(way, "gpt-4o", messages)
    assert body["messages"][1] == {"role": "assistant", "content": "a"} and not warnings


@WAYS
def test_strict_callers_are_refused_what_a_quirk_changes(way):
    for model, fields in (
        (REASONING, {"temperature": 0.5}),
        (REASONING, {"reasoning_effort": "max"}),
        ("gpt-4o", {"reasoning_effort": "low"}),
        (DEEPSEEK, {"seed": 7}),
        (DEEPSEEK, {"response_format": SHAPE}),
    ):
        error = refused(way, target_for(model, is_strict=True), **fields)
        assert error.param in fields and error.code.startswith("unsupported_")


# ----------------------------------------------------------------------------- local servers


@WAYS
def test_reasoning_goes_back_under_both_names(way):
    messages = [USER, {"role": "assistant", "content": "a", "reasoning_content": "hm"}, USER]
    body, _ = sent(way, local_target(), messages)
    assert body["messages"][1]["reasoning"] == body["messages"][1]["reasoning_content"] == "hm"


def test_top_k_goes_where_it_is_known():
    request = ChatRequest("m", [Message("user", [Text("Hi")])], top_k=7)
    assert openai.write_request(request, local_target())["top_k"] == 7
    target = target_for("gpt-4o")
    assert "top_k" not in openai.write_request(request, target)
    assert target.losses.warnings() == ["dropped=top_k"]


@WAYS
def test_what_a_tool_shows_comes_from_the_user(way):
    shown = {**RESULT, "content": [{"type": "text", "text": "see"}, PICTURE]}
    body = {"model": "m", "messages": [USER, CALLED, shown]}
    targets = [target_for("gpt-4o"), target_for(DEEPSEEK)]
    for target in targets if way is passed else [*targets, local_target()]:
        messages = way(body, target)["messages"]
        assert messages[2]["content"] == "see"
        assert PICTURE in messages[3]["content"] and messages[3]["role"] == "user"


# ----------------------------------------------------------------------------- as it came


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", DEEPSEEK])
def test_bytes_stay_as_they_are_where_nothing_is_to_be_changed(model):
    target = target_for(model)
    raw = b'{ "model":"%s", "messages":[{"role":"user","content":"Hi"}], "zebra": [1] }'
    raw = raw.replace(b"%s", target.upstream_model.encode())
    assert openai.patch_request(raw, json.loads(raw), target, {}) is raw


def test_what_is_unknown_is_passed_on():
    body, warnings = sent(passed, DEEPSEEK, zebra={"x": 1}, safety_identifier="u", store=True)
    assert (body["zebra"], body["safety_identifier"], body["store"]) == ({"x": 1}, "u", True)
    assert not warnings


def test_catalog_and_table_name_the_same_providers():
    named = {
        place.provider_name for m in catalog.build({}).models.values() for place in m.deployments
    }
    assert named <= set(ROWS)
