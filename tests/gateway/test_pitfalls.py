"""The pitfalls that other gateways fell into (reference/translation.md 14), one test by number.

`COVERED_ELSEWHERE` names the tests that prove a number already, `NOT_HERE` the numbers that are not
about translating a chat. The last test holds the three together: no number is missing.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from gateway.formats.gemini.outgoing import SENTINEL
from tests.fakes.play import THOUGHTS
from tests.gateway.gateway_in_process import ID, Gateway, Wire, by_bytes, events_of
from tests.gateway.matrix import (
    BOTH,
    CITY,
    G_BOTH,
    IMAGE_URL,
    LOOKUP,
    PDF64,
    PNG,
    PNG64,
    SIMPLE,
    TEXT,
    ask,
    g_tools,
    gemini_body,
    o_history,
    o_schema,
    o_tool,
    o_user,
    openai_body,
    openai_parts,
)
from tests.gateway.upstream_views import view

ROOT = Path(__file__).parents[2]
ASKED = {"stream_options": {"include_usage": True}}

COVERED_ELSEWHERE = {
    3: "tests/gateway/test_openai_format.py::test_finish_reasons",
    7: "tests/gateway/test_openai_format.py::test_usage_wherever_it_comes",
    10: "tests/gateway/test_anthropic_format.py::test_the_last_counters_count_and_null_is_none",
    12: "tests/gateway/test_matrix.py::test_a_stream_that_breaks_ends_in_one_error_and_never_well",
    21: "tests/gateway/test_matrix.py::test_what_a_model_thought_before_its_calls_comes_back_to_it",
    43: "tests/gateway/test_matrix.py::test_what_a_model_thought_before_its_calls_comes_back_to_it",
    51: "tests/gateway/test_matrix.py::test_every_feature_everywhere",
    56: "tests/gateway/test_matrix.py::test_a_failure_before_the_answer_is_a_status_of_ours",
    57: "tests/gateway/test_matrix.py::test_a_stream_that_breaks_ends_in_one_error_and_never_well",
    58: "tests/gateway/test_matrix.py::test_a_failure_before_the_answer_is_a_status_of_ours",
    59: "tests/gateway/test_matrix.py::test_g6_a_block_in_either_direction",
    60: "tests/gateway/test_matrix.py::test_a_model_that_failed_is_no_empty_success",
    65: "tests/api/test_google_sdks.py",
    66: "tests/api/test_gemini.py::test_an_unknown_method_is_404_and_names_the_served_ones",
    67: "tests/gateway/test_matrix.py::test_every_feature_everywhere",
    68: "tests/gateway/test_matrix.py::test_g7_one_usage_in_three_vocabularies",
    70: "tests/api/test_faults.py::test_client_leaves_before_the_first_byte",
}
"""A test, or a whole file of them."""
NOT_HERE = {
    42: "how much context a server of one's own keeps is set there, and told in the documentation",
}


def steps_of(outcome):
    """The choices of a streamed answer in order, and its chunks."""
    chunks = [json.loads(event) for event in events_of(outcome.chunks) if event != "[DONE]"]
    return [step for chunk in chunks for step in chunk["choices"]], chunks


def stream(model, body, surface="openai", **more):
    return Gateway().call(surface, model, body, stream=True, **more)


def sent(model, body, surface="openai", **more):
    """What the provider gets for a body that is answered."""
    outcome = Gateway().call(surface, model, body, **more)
    assert outcome.status == 200, outcome.error
    return outcome.upstream


# ----------------------------------------------------------------- finish reasons and streams

TRANSLATED = ("claude-sonnet-5", "gemini-2.5-flash", "gemini-3.5-flash", "local-small")


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash"])
def test_pitfall_01_calls_of_gemini_finish_as_calls(model):
    body = openai_body("tools", tools=LOOKUP)
    assert Gateway().call("openai", model, body).said.finish == "tool_calls"
    assert stream(model, body).said.finish == "tool_calls"


@pytest.mark.parametrize("model", TRANSLATED)
def test_pitfall_02_one_finish_at_the_end(model):
    steps, _ = steps_of(stream(model, openai_body()))
    assert [bool(step["finish_reason"]) for step in steps] == [False] * (len(steps) - 1) + [True]


@pytest.mark.parametrize("model", TRANSLATED)
def test_pitfalls_04_and_05_usage_has_a_chunk_of_its_own_without_choices(model):
    _, chunks = steps_of(stream(model, openai_body(**ASKED)))
    assert [chunk["choices"] for chunk in chunks if chunk.get("usage")] == [[]]
    assert chunks[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("model", [*TRANSLATED, "gpt-4o"])
def test_pitfall_06_nobody_gets_usage_unasked(model):
    _, chunks = steps_of(stream(model, openai_body()))
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in chunks)


@pytest.mark.parametrize("scenario", ["tools_parallel", "thinking_tools"])
@pytest.mark.parametrize("model", TRANSLATED)
def test_pitfalls_08_and_09_parallel_calls_are_all_there_under_their_own_index(scenario, model):
    """In one chunk of the upstream (thinking_tools) or in several."""
    steps, _ = steps_of(stream(model, openai_body(scenario, tools=BOTH)))
    deltas = [call for step in steps for call in step["delta"].get("tool_calls") or ()]
    assert sorted({call["index"] for call in deltas}) == [0, 1]
    texts = ["", ""]
    for call in deltas:
        texts[call["index"]] += call["function"]["arguments"]
    assert [json.loads(text)["city"] for text in texts] == ["Paris", "Łódź"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", TRANSLATED)
def test_pitfall_11_no_arguments_are_an_empty_object(model, streamed):
    body = openai_body("zeroarg", tools=[o_tool("now", None)])
    outcome = Gateway().call("openai", model, body, stream=streamed)
    [call] = outcome.said.message["tool_calls"]
    assert call["function"]["arguments"] == "{}"


# ----------------------------------------------------------------------------- tools


def test_pitfall_13_gemini_is_told_the_name_of_each_result():
    contents = sent("gemini-3.5-flash", o_history("5", "20"))["contents"]
    names = [part["functionResponse"]["name"] for part in contents[-1]["parts"]]
    assert names == ["lookup", "lookup"]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object", "properties": {}}])
def test_pitfall_14_a_tool_without_parameters_has_no_schema_at_gemini(parameters):
    body = openai_body(tools=[o_tool("now", parameters)])
    [tool] = sent("gemini-2.5-flash", body)["tools"][0]["functionDeclarations"]
    assert set(tool) == {"name", "description"}


def test_pitfall_15_results_of_parallel_calls_are_one_content():
    contents = sent("gemini-3.5-flash", o_history("5", "20"))["contents"]
    assert [len(content["parts"]) for content in contents] == [1, 2, 2]


def test_pitfall_16_what_else_is_said_comes_after_the_results():
    body = o_history("5", "20")
    body["messages"].append(o_user("And tomorrow?"))
    contents = sent("gemini-3.5-flash", body)["contents"]
    assert contents[-1] == {"role": "user", "parts": [{"text": "And tomorrow?"}]}
    assert all("functionResponse" in part for part in contents[-2]["parts"])


def test_pitfall_17_a_call_without_its_result_is_refused_in_the_callers_words():
    body = o_history("5", "20")
    del body["messages"][-1]
    outcome = Gateway().call("openai", "claude-sonnet-5", body)
    assert (outcome.status, outcome.sent) == (400, [])
    assert "tool_call_id" in outcome.error.message
    calls = [{"functionCall": {"name": "w", "args": {}}}] * 2
    results = [{"functionResponse": {"name": "w", "response": {"result": 1}}}]
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": calls},
        {"role": "user", "parts": results},
    ]
    outcome = Gateway().call("gemini", "gpt-4o", {"contents": contents})
    assert (outcome.status, outcome.sent) == (400, [])
    assert "number of function response parts is equal" in outcome.error.message


def test_pitfall_18_claude_gets_all_results_first_in_the_next_message():
    body = o_history("5", "20")
    body["messages"].append(o_user("And tomorrow?"))
    *_, last = sent("claude-sonnet-5", body)["messages"]
    assert [block["type"] for block in last["content"]] == ["tool_result", "tool_result", "text"]


def history_with_id(id_):
    call = {"id": id_, "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    return {
        "messages": [
            o_user("x"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id_, "content": "5"},
        ],
        "tools": LOOKUP,
    }


@pytest.mark.parametrize("model", ["claude-sonnet-5", "local-small", "deepseek-v4-flash"])
@pytest.mark.parametrize("id_", ["functions.Bash:0", "x" * 64, "call_1__thought__" + "A" * 900])
def test_pitfalls_19_and_20_ids_that_others_gave_fit_everywhere(id_, model):
    """Longer than 40, or with characters that Claude refuses."""
    body = sent(model, history_with_id(id_))
    found = view("anthropic" if "claude" in model else "openai", body)
    assert found.ids == found.answered and ID.fullmatch(found.ids[0])


def test_pitfall_20_ids_that_google_clients_bring_fit_openai():
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "y" * 64, "name": "w", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "y" * 64, "name": "w",
                                                         "response": {"result": 1}}}]},
    ]  # fmt: skip
    found = view("openai", sent("gpt-4o", {"contents": contents}, "gemini"))
    assert found.ids == found.answered and ID.fullmatch(found.ids[0])


def test_pitfall_22_ids_that_come_again_are_told_apart():
    body = history_with_id("call_1")
    body["messages"] *= 2
    found = view("anthropic", sent("claude-sonnet-5", body))
    assert len(set(found.ids)) == 2 and found.ids == found.answered


@pytest.mark.parametrize("name", ["1st", "a.b:c", "x" * 100, "-dash"])
def test_pitfall_23_one_odd_name_does_not_cost_the_catalogue(name):
    if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        body = openai_body("tools", tools=[o_tool(name)])
        outcome = Gateway().call("openai", "gemini-2.5-flash", body)
    else:
        body = gemini_body("tools", tools=g_tools((name, CITY)))
        outcome = Gateway().call("gemini", "claude-sonnet-5", body)
    assert outcome.said.calls == [(name, {"city": "Paris"})]


@pytest.mark.parametrize("content", [None, "", " \n", [{"type": "text", "text": ""}]])
def test_pitfall_24_no_empty_text_beside_a_call(content):
    body = o_history("5")
    body["messages"][1]["content"] = content
    claude = sent("claude-sonnet-5", body)["messages"][1]["content"]
    assert [block["type"] for block in claude] == ["tool_use"]
    gemini = sent("gemini-3.5-flash", body)["contents"][1]["parts"]
    assert ["functionCall" in part for part in gemini] == [True]


@pytest.mark.parametrize("wanted, mode", [
    ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}),
    ({"type": "function", "function": {"name": "weather"}},
     {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
])  # fmt: skip
def test_pitfall_25_the_choice_of_tools_reaches_gemini(wanted, mode):
    body = sent("gemini-2.5-flash", openai_body(tools=BOTH, tool_choice=wanted))
    assert body["toolConfig"] == {"functionCallingConfig": mode}


def test_pitfall_26_a_model_that_cannot_be_forced_is_told_to_call():
    body = openai_body(tools=LOOKUP, tool_choice="required")
    outcome = Gateway().call("openai", "claude-opus-5-5", body)
    assert outcome.status == 200 and "tool_choice" not in outcome.upstream
    assert "must call" in outcome.upstream["system"][-1]["text"]
    assert outcome.warnings == ["emulated=tool_choice"]
    assert Gateway().call("openai", "claude-opus-5-5", body, strict=True).status == 400


@pytest.mark.parametrize("arguments", ['{"city": "Par', "not json", "[1]", "3"])
@pytest.mark.parametrize("model", ["claude-sonnet-5", "gemini-3.5-flash", "local-small"])
def test_pitfall_27_a_call_with_broken_arguments_is_kept(model, arguments):
    body = o_history("5")
    body["messages"][1]["tool_calls"][0]["function"]["arguments"] = arguments
    told = sent(model, body)
    text = json.dumps(told)
    assert text.count('"lookup"') >= 2 and "5" in text


def test_pitfall_28_a_union_at_the_root_of_a_tool_is_flattened_for_claude():
    schema = {
        "anyOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    }
    [tool] = sent("claude-sonnet-5", openai_body(tools=[o_tool("f", schema)]))["tools"]
    assert tool["input_schema"]["type"] == "object" and "anyOf" not in tool["input_schema"]
    assert set(tool["input_schema"]["properties"]) == {"a", "b"}


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"type": "function"},
                                  {"type": "function", "function": {"description": "x"}}])  # fmt: skip
def test_pitfall_29_a_tool_without_a_name_is_refused_before_anyone_is_asked(tool):
    for model in ("claude-sonnet-5", "gemini-3.5-flash", "gpt-4o"):
        outcome = Gateway().call("openai", model, openai_body(tools=[tool]))
        assert (outcome.status, outcome.sent) == (400, [])
        assert outcome.error.param.startswith("tools[0]")


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "gemini-3.5-flash", "gemini-2.5-flash",
                                   "deepseek-v4-flash", "local-small"])  # fmt: skip
def test_pitfall_30_a_tool_may_show_an_image_beside_other_results(model):
    """Between two results: for OpenAI nothing may stand between those of one turn."""
    shown = [{"type": "text", "text": "See"}, IMAGE_URL]
    body = o_history(shown, "20")
    body["messages"][2:] = reversed(body["messages"][2:])
    outcome = Gateway().call("openai", model, body)
    assert outcome.status == 200, outcome.error
    provider = outcome.sent[0].provider
    assert ("user", "image", PNG) in view(provider, outcome.upstream).pieces


def test_pitfall_30_for_google_clients_too():
    calls = [{"functionCall": {"name": "lookup", "args": {}}}] * 2
    parts = [{"inlineData": {"mimeType": "image/png", "data": PNG64}}]
    results = [
        {"functionResponse": {"name": "lookup", "response": {"result": "a"}, "parts": parts}},
        {"functionResponse": {"name": "lookup", "response": {"result": "b"}}},
    ]
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": calls},
        {"role": "user", "parts": results},
    ]
    for model in ("gpt-4o", "claude-sonnet-5", "local-small"):
        outcome = Gateway().call("gemini", model, {"contents": contents, "tools": G_BOTH})
        assert outcome.status == 200, outcome.error
        provider = outcome.sent[0].provider
        assert ("user", "image", PNG) in view(provider, outcome.upstream).pieces


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "deepseek-v4-flash", "local-small"])
def test_pitfall_31_tools_pass_in_both_directions_of_the_gemini_surface(model):
    outcome = Gateway().call("gemini", model, gemini_body("tools", tools=G_BOTH))
    assert len(outcome.upstream["tools"]) == 2
    assert outcome.said.calls == [("lookup", {"city": "Paris"})]


@pytest.mark.parametrize("name", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_pitfall_32_a_schema_arrives_under_any_of_its_names(name):
    schema = CITY if name != "parameters" else {
        "type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"],
    }  # fmt: skip
    tools = [{"function_declarations": [{"name": "f", "description": "d", name: schema}]}]
    body = gemini_body() | {"tools": tools}
    [tool] = sent("gpt-4o", body, "gemini")["tools"]
    assert tool["function"]["parameters"] == CITY


# ----------------------------------------------------------------------------- limits


def test_pitfall_33_without_a_limit_claude_has_its_own():
    assert sent("claude-sonnet-5", openai_body())["max_tokens"] == 128_000
    assert sent("claude-haiku-4-5", openai_body())["max_tokens"] == 64_000


@pytest.mark.parametrize("given", ["max_tokens", "max_completion_tokens"])
def test_pitfall_34_each_model_gets_its_own_name_of_the_limit(given):
    body = openai_body(**{given: 50})
    assert sent("gpt-5", body)["max_completion_tokens"] == 50
    for model in ("deepseek-v4-flash", "local-small"):
        assert sent(model, body)["max_tokens"] == 50
    assert sent("gemini-3.5-flash", body)["generationConfig"]["maxOutputTokens"] == 50


@pytest.mark.parametrize(
    "model", ["claude-sonnet-5", "claude-opus-5-5", "gpt-5", "gemini-3.8-flash"]
)
def test_pitfall_35_models_that_refuse_sampling_get_none(model):
    for surface, body in (
        ("openai", openai_body(temperature=0.2, top_p=0.5)),
        ("gemini", gemini_body(temperature=0.2, topP=0.5)),
    ):
        outcome = Gateway().call(surface, model, body)
        assert outcome.status == 200, outcome.error
        assert "0.2" not in json.dumps(outcome.upstream)
        assert "dropped=temperature" in outcome.warnings[0]


def test_pitfall_36_a_budget_stays_below_the_callers_own_limit():
    body = sent("claude-haiku-4-5", openai_body(reasoning_effort="high", max_tokens=3000))
    assert body["max_tokens"] == 3000 and body["thinking"]["budget_tokens"] == 2999
    body = sent("claude-haiku-4-5", openai_body(reasoning_effort="high", max_tokens=500))
    assert body["max_tokens"] == 500 and "thinking" not in body


def test_pitfall_37_a_budget_or_a_level_whichever_the_model_knows():
    effort = openai_body(reasoning_effort="low")
    assert sent("gemini-2.5-flash", effort)["generationConfig"]["thinkingConfig"] == {
        "thinkingBudget": 1024,
        "includeThoughts": True,
    }
    assert sent("gemini-3.5-flash", effort)["generationConfig"]["thinkingConfig"] == {
        "thinkingLevel": "LOW",
        "includeThoughts": True,
    }
    level = gemini_body(thinkingConfig={"thinkingLevel": "LOW"})
    config = sent("gemini-2.5-flash", level, "gemini")["generationConfig"]["thinkingConfig"]
    assert config == {"thinkingBudget": 1024}
    off = gemini_body(thinkingConfig={"thinkingBudget": 0})
    config = sent("gemini-3.8-flash", off, "gemini")["generationConfig"]["thinkingConfig"]
    assert config == {"thinkingLevel": "LOW"}


def test_pitfall_38_white_space_as_a_stop_string_stops():
    body = openai_body("unicode", stop=["\r\nb"])
    assert sent("claude-sonnet-5", body)["stop_sequences"] == ["\r\nb"]
    for streamed in (False, True):
        body = openai_body("unicode", stop=["\n"])
        outcome = Gateway().call("openai", "claude-sonnet-5", body, stream=streamed)
        assert "stop_sequences" not in outcome.upstream
        assert outcome.said.text.endswith("a\r") and outcome.said.finish == "stop"
        assert outcome.warnings == ["emulated=stop"]


@pytest.mark.parametrize("model", ["gpt-4o", "gemini-2.5-flash", "local-small"])
def test_pitfall_39_every_answer_asked_for_is_returned(model):
    outcome = Gateway().call("openai", model, openai_body(n=2))
    texts = [choice["message"]["content"] for choice in outcome.body["choices"]]
    assert texts == [TEXT, TEXT]
    outcome = Gateway().call("openai", "gemini-3.5-flash", openai_body(n=2))
    assert (outcome.status, outcome.error.param) == (400, "n")


def test_pitfall_40_logprobs_are_objects_in_both_vocabularies():
    body = openai_body(logprobs=True)
    [choice] = Gateway().call("openai", "gemini-2.5-flash", body).body["choices"]
    entries = choice["logprobs"]["content"]
    assert entries[0] == {"token": "The", "logprob": -0.25, "bytes": [84, 104, 101],
                          "top_logprobs": []}  # fmt: skip
    body = gemini_body(responseLogprobs=True)
    [candidate] = Gateway().call("gemini", "gpt-4o", body).body["candidates"]
    chosen = candidate["logprobsResult"]["chosenCandidates"]
    assert chosen[0] == {"token": "The", "logProbability": -0.25}
    assert candidate["avgLogprobs"] == -0.25


def test_pitfall_41_reasoning_that_eats_the_limit_is_a_length_and_no_error():
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    usage = {"input_tokens": 3, "output_tokens": 50}
    answer = {"id": "m", "model": "m", "type": "message", "role": "assistant", "usage": usage,
              "content": [thinking], "stop_reason": "max_tokens"}  # fmt: skip
    wire = Wire(200, "application/json", [json.dumps(answer).encode()])
    outcome = Gateway().call(
        "openai", "claude-haiku-4-5", openai_body(max_tokens=50), answers=lambda sent: wire
    )
    assert outcome.status == 200
    assert (outcome.said.text, outcome.said.finish) == ("", "length")
    assert outcome.said.usage[1] == 50


# ----------------------------------------------------------------------------- reasoning


def test_pitfall_44_thinking_stands_before_the_calls_it_led_to():
    gateway = Gateway()
    first = openai_body("thinking_tools", tools=BOTH, reasoning_effort="high")
    said = gateway.call("openai", "claude-haiku-4-5", first).said
    message = {k: said.message[k] for k in ("role", "content", "tool_calls")}
    results = [{"role": "tool", "tool_call_id": id_, "content": "5"} for id_ in said.ids]
    second = {**first, "messages": [*first["messages"], message, *results]}
    outcome = gateway.call("openai", "claude-haiku-4-5", second)
    assert outcome.status == 200, outcome.error
    kinds = [block["type"] for block in outcome.upstream["messages"][1]["content"]]
    assert kinds == ["thinking", "tool_use", "tool_use"]


def test_pitfall_45_deepseek_gets_its_reasoning_or_a_word_in_its_place():
    body = o_history("5")
    messages = sent("deepseek-v4-flash", body)["messages"]
    assert messages[1]["reasoning_content"]
    body["messages"][1]["reasoning_content"] = "I look it up."
    messages = sent("deepseek-v4-flash", body)["messages"]
    assert messages[1]["reasoning_content"] == "I look it up."


def test_pitfall_46_reasoning_is_read_under_either_name_and_kept_from_who_refuses_it():
    for model in ("deepseek-v4-flash", "local-small"):
        body = openai_body("thinking", reasoning_effort="high")
        assert Gateway().call("openai", model, body).said.reasoning == "".join(THOUGHTS)
    body = {
        "messages": [
            o_user("x"),
            {"role": "assistant", "content": "Hm.", "reasoning_content": "I think."},
            o_user(ask()),
        ]
    }
    assert sent("local-small", body)["messages"][1]["reasoning"] == "I think."
    assert "I think." not in json.dumps(sent("gpt-4o", body))
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"text": "I think.", "thought": True}, {"text": "Hm."}]},
        {"role": "user", "parts": [{"text": ask()}]},
    ]
    assert "I think." not in json.dumps(sent("gpt-4o", {"contents": contents}, "gemini"))


def test_pitfall_47_a_signature_of_gemini_is_where_google_puts_it_and_is_read_there():
    gateway = Gateway()
    first = openai_body("tools", tools=LOOKUP)
    said = gateway.call("openai", "gemini-3.5-flash", first).said
    [call] = said.message["tool_calls"]
    signature = call["extra_content"]["google"]["thought_signature"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "5"}]
    second = {**first, "messages": [*first["messages"], said.message, *results]}
    outcome = Gateway().call("openai", "gemini-3.5-flash", second)  # another store: echo alone
    parts = outcome.upstream["contents"][1]["parts"]
    assert parts[0]["thoughtSignature"] == signature != SENTINEL
    assert outcome.status == 200


# ----------------------------------------------------------------------------- structured output


def test_pitfall_48_deepseek_is_told_a_schema_in_words():
    outcome = Gateway().call("openai", "deepseek-v4-flash", o_schema(SIMPLE))
    assert outcome.status == 200
    assert outcome.upstream["response_format"] == {"type": "json_object"}
    assert "people" in outcome.upstream["messages"][0]["content"]
    assert outcome.warnings == ["emulated=response_format"]


def test_pitfall_49_json_beside_tools_is_asked_for_in_words_where_gemini_refuses_both():
    outcome = Gateway().call("openai", "gemini-2.5-flash", o_schema(SIMPLE) | {"tools": LOOKUP})
    assert outcome.status == 200
    assert "generationConfig" not in outcome.upstream
    assert "people" in outcome.upstream["systemInstruction"]["parts"][-1]["text"]
    assert outcome.warnings == ["emulated=response_format"]


def test_pitfall_50_schemas_go_into_the_field_that_takes_them():
    config = sent("gemini-2.5-flash", o_schema(SIMPLE))["generationConfig"]
    assert "responseSchema" not in config
    assert config["responseJsonSchema"]["properties"] == SIMPLE["properties"]


def test_pitfall_52_bounds_that_claude_refuses_are_described():
    schema = SIMPLE | {"properties": {"city": {"type": "string", "minLength": 2},
                                      "people": {"type": "integer", "minimum": 1}}}  # fmt: skip
    body = sent("claude-sonnet-5", o_schema(schema))
    properties = body["output_config"]["format"]["schema"]["properties"]
    assert "minimum" not in properties["people"] and "1" in properties["people"]["description"]
    assert "minLength" not in properties["city"]


def test_pitfall_53_json_is_text_and_never_a_call():
    for body in (o_schema(SIMPLE), openai_body(response_format={"type": "json_object"})):
        outcome = Gateway().call("openai", "claude-sonnet-5", body)
        assert "tools" not in outcome.upstream
        assert outcome.said.text and not outcome.said.calls


@pytest.mark.parametrize("schema, strict", [
    (SIMPLE, True), ({"type": "object", "properties": {"a": {"type": "string"}}}, False),
])  # fmt: skip
def test_pitfall_54_a_google_schema_is_strict_only_if_it_is(schema, strict):
    body = gemini_body(responseMimeType="application/json", responseJsonSchema=schema)
    spec = sent("gpt-4o", body, "gemini")["response_format"]["json_schema"]
    assert spec["strict"] is strict


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize("answer", [
    {"error": {"message": "boom", "code": 500}}, {"choices": None}, {}, [], None,
    {"candidates": None}, {"content": None, "type": "message"},
])  # fmt: skip
@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gemini-3.5-flash", "local-small"])
def test_pitfall_55_an_error_under_status_200_is_one(model, answer):
    wire = Wire(200, "application/json", [json.dumps(answer).encode()])
    for surface, body in (("openai", openai_body(max_tokens=9)), ("gemini", gemini_body())):
        outcome = Gateway().call(surface, model, body, answers=lambda sent: wire)
        if outcome.upstream.get("stream"):
            continue  # a long answer of Claude's is read as a stream
        assert outcome.status == 503


def test_pitfall_61_the_providers_own_message_reaches_the_caller():
    for model, words in (
        ("claude-sonnet-5", "messages.0.content"),
        ("gpt-4o", "messages[0].content"),
    ):
        outcome = Gateway().call("gemini", model, gemini_body("status:400"))
        assert words in outcome.body["error"]["message"]


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "gemini-3.5-flash"])
def test_pitfall_62_a_429_is_always_ours_never_the_providers(model):
    outcome = Gateway().call("openai", model, openai_body("status:429"))
    assert (outcome.status, outcome.error.code) == (503, "provider_unavailable")
    assert outcome.error.retry_after == 7


# ----------------------------------------------------------------------------- the Gemini surface


@pytest.mark.parametrize("model", ["claude-sonnet-5", "deepseek-v4-flash", "local-small"])
def test_pitfall_63_no_comment_on_a_stream_for_google(model):
    """Neither a provider's own nor ours for its silence."""
    outcome = stream(model, gemini_body("thinking"), "gemini")
    assert not re.search(rb"(^|\n):", b"".join(outcome.chunks))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("model", ["gemini-3.5-flash", "claude-sonnet-5", "local-small"])
def test_pitfall_64_events_are_whole_however_bytes_fall(model, size):
    outcome = stream(model, gemini_body("unicode"), "gemini", cut=by_bytes(size))
    for chunk in outcome.chunks:
        assert chunk.endswith(b"\n\n")
    assert outcome.said.broke is None


def test_pitfall_64_a_last_event_of_gemini_that_is_none_ends_in_an_error():
    outcome = stream("gemini-3.5-flash", gemini_body("garbage_mid:3"), "gemini")
    *_, last = outcome.chunks
    assert b'"UNAVAILABLE"' in last and outcome.meter.failed and not outcome.meter.is_done


# ----------------------------------------------------------------------------- usage


def test_pitfall_69_cached_tokens_are_in_streams_of_gemini_too():
    outcome = stream("gemini-3.5-flash", openai_body("cached", **ASKED))
    _, chunks = steps_of(outcome)
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 1000
    assert outcome.meter.usage.cached_tokens == 1000


# ----------------------------------------------------------------------------- messages and media


@pytest.mark.parametrize("model", ["claude-sonnet-5", "gemini-3.5-flash"])
def test_pitfall_71_instructions_alone_are_said_by_the_user(model):
    outcome = Gateway().call("openai", model, {"messages": [{"role": "system", "content": ask()}]})
    assert outcome.status == 200
    assert view(outcome.sent[0].provider, outcome.upstream).pieces == [("user", "text", ask())]


def test_pitfall_72_instructions_are_neither_lost_nor_glued_to_the_user():
    messages = [{"role": "system", "content": "Be brief."}, o_user("Hello")]
    for model in ("claude-sonnet-5", "gemini-3.5-flash", "deepseek-v4-flash", "local-small"):
        outcome = Gateway().call("openai", model, {"messages": messages})
        found = view(outcome.sent[0].provider, outcome.upstream)
        assert (found.system, found.pieces) == (["Be brief."], [("user", "text", "Hello")])


@pytest.mark.parametrize("claimed", ["image/jpg", "image/jpeg", "application/octet-stream", ""])
def test_pitfall_73_an_image_is_what_its_bytes_say(claimed):
    url = f"data:{claimed};base64,{PNG64}"
    part = {"type": "image_url", "image_url": {"url": url}}
    claude = sent("claude-sonnet-5", openai_parts(part))["messages"][0]["content"][1]
    assert claude["source"]["media_type"] == "image/png"
    gemini = sent("gemini-3.5-flash", openai_parts(part))["contents"][0]["parts"][1]
    assert gemini["inlineData"]["mimeType"] == "image/png"
    part = {"inlineData": {"mimeType": claimed or "image/jpg", "data": PNG64}}
    body = gemini_body() | {"contents": [{"parts": [{"text": ask()}, part]}]}
    openai = sent("gpt-4o", body, "gemini")["messages"][0]["content"][1]
    assert openai["image_url"]["url"] == f"data:image/png;base64,{PNG64}"


def test_pitfall_73_a_document_is_what_its_bytes_say():
    part = {"inlineData": {"mimeType": "application/octet-stream", "data": PDF64}}
    body = gemini_body() | {"contents": [{"parts": [{"text": ask()}, part]}]}
    [_, file] = sent("gpt-4o", body, "gemini")["messages"][0]["content"]
    assert base64.b64decode(file["file"]["file_data"].partition(",")[2]).startswith(b"%PDF-")


@pytest.mark.parametrize("model", ["claude-sonnet-5", "claude-opus-5-5", "gemini-3.5-flash"])
def test_pitfall_74_a_conversation_that_ends_with_the_model_goes_on(model):
    """The half of this pitfall that is about chats; images are in `test_images`."""
    messages = [o_user("Hello"), {"role": "assistant", "content": "Well"}]
    outcome = Gateway().call("openai", model, {"messages": messages})
    assert outcome.status == 200
    last = view(outcome.sent[0].provider, outcome.upstream).pieces[-1]
    assert last == ("user", "text", "Continue.")


# ----------------------------------------------------------------------------- all of them


def test_every_pitfall_is_tested_here_or_named():
    text = Path(__file__).read_text()
    here = set()
    for name in re.findall(r"def test_pitfalls?_(\w+?)\(", text):
        here |= {
            int(number)
            for number in re.findall(r"(?<![a-z0-9])\d\d(?![a-z0-9])", name.replace("_", " "))
        }
    assert set(range(1, 75)) == here | set(COVERED_ELSEWHERE) | set(NOT_HERE)
    assert not here & set(NOT_HERE) and not set(COVERED_ELSEWHERE) & set(NOT_HERE)


@pytest.mark.parametrize("number", COVERED_ELSEWHERE)
def test_what_covers_a_pitfall_is_there(number):
    file, _, name = COVERED_ELSEWHERE[number].partition("::")
    assert (ROOT / file).is_file()
    assert f"def {name}(" in (ROOT / file).read_text() if name else True
