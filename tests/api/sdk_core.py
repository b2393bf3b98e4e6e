"""The core of what every OpenAI SDK must be able to do, for the 1.x line and the newest alike.

Run as `python sdk_core.py BASE_URL LIVE_KEY TEST_KEY`; prints one line per check and ends in
`N passed, N failed`. Knows nothing of pytest: it also runs where there is only the SDK.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Callable

import openai
from pydantic import BaseModel

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
TEXT = "The capital of France is Paris."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


class Answer(BaseModel):
    city: str
    population: int


def scenario(name: str) -> list[dict]:
    return [{"role": "user", "content": f"scenario:{name}"}]


def chat(live: openai.OpenAI, test: openai.OpenAI) -> None:
    done = live.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, temperature=0.7, max_tokens=512
    )
    assert done.choices[0].message.content == TEXT
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done._request_id.startswith("req_")


def stream(live: openai.OpenAI, test: openai.OpenAI) -> None:
    with live.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True) as chunks:
        found = list(chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in found) == TEXT
    assert not any(chunk.usage for chunk in found)
    assert len({chunk.id for chunk in found}) == 1


def stream_with_usage(live: openai.OpenAI, test: openai.OpenAI) -> None:
    with live.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        found = list(chunks)
    assert [bool(chunk.usage) for chunk in found].index(True) == len(found) - 1
    assert found[-1].choices == []


def stream_of_a_mended_provider(live: openai.OpenAI, test: openai.OpenAI) -> None:
    with live.chat.completions.create(
        model="local-small", messages=MESSAGES, stream=True
    ) as chunks:
        found = list(chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in found) == TEXT


def tools(live: openai.OpenAI, test: openai.OpenAI) -> None:
    done = live.chat.completions.create(
        model="gpt-4o", messages=scenario("tools_parallel"), tools=TOOLS
    )
    calls = done.choices[0].message.tool_calls
    assert done.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Łódź"]
    history = [*scenario("tools_parallel"), done.choices[0].message.model_dump(exclude_none=True)]
    history += [{"role": "tool", "tool_call_id": call.id, "content": "2"} for call in calls]
    history += MESSAGES
    done = live.chat.completions.create(model="gpt-4o", messages=history, tools=TOOLS)
    assert done.choices[0].message.content == TEXT


def streamed_tools(live: openai.OpenAI, test: openai.OpenAI) -> None:
    arguments = ["", ""]
    with live.chat.completions.create(
        model="gpt-4o", messages=scenario("tools_parallel"), tools=TOOLS, stream=True
    ) as chunks:
        for chunk in chunks:
            for call in chunk.choices[0].delta.tool_calls or []:
                arguments[call.index] += call.function.arguments or ""
    assert [json.loads(text)["city"] for text in arguments] == ["Paris", "Łódź"]


def stream_helper(live: openai.OpenAI, test: openai.OpenAI) -> None:
    completions = getattr(live.chat.completions, "stream", None)
    begin = completions or live.beta.chat.completions.stream
    with begin(model="gpt-4o", messages=MESSAGES, stream_options={"include_usage": True}) as events:
        for _ in events:
            pass
        done = events.get_final_completion()
    assert done.choices[0].message.content == TEXT
    assert done.choices[0].message.role == "assistant"
    assert done.usage.completion_tokens > 0


def parse(live: openai.OpenAI, test: openai.OpenAI) -> None:
    completions = getattr(live.chat.completions, "parse", None)
    call = completions or live.beta.chat.completions.parse
    done = call(model="gpt-4o", messages=MESSAGES, response_format=Answer)
    assert done.choices[0].message.parsed == Answer(city="Paris", population=3)


def parse_in_test_mode(live: openai.OpenAI, test: openai.OpenAI) -> None:
    completions = getattr(test.chat.completions, "parse", None)
    call = completions or test.beta.chat.completions.parse
    done = call(model="gpt-4o", messages=MESSAGES, response_format=Answer)
    assert isinstance(done.choices[0].message.parsed, Answer)


def models(live: openai.OpenAI, test: openai.OpenAI) -> None:
    names = [model.id for model in live.models.list()]
    assert {"gpt-4o", "gpt-4o-mini", "local-small"} <= set(names)
    assert live.models.retrieve("gpt-4o").owned_by == "openai"
    assert live.models.retrieve("acme/llama-4:8b").id == "acme/llama-4:8b"


def images(live: openai.OpenAI, test: openai.OpenAI) -> None:
    done = test.images.generate(model="dall-e-3", prompt="A cat", response_format="b64_json")
    assert done.data[0].b64_json.startswith("iVBORw0KGgo")


ERRORS: list[tuple[type, str, dict]] = [
    (openai.BadRequestError, "decimal_above_max_value", {"temperature": 3}),
    (openai.NotFoundError, "model_not_found", {"model": "no-such-model"}),
    (
        openai.RateLimitError,
        "rate_limit_exceeded",
        {"messages": [{"role": "user", "content": "test:429"}]},
    ),
    (
        openai.InternalServerError,
        "internal_error",
        {"messages": [{"role": "user", "content": "test:500"}]},
    ),
    (
        openai.InternalServerError,
        "provider_unavailable",
        {"messages": [{"role": "user", "content": "test:503"}]},
    ),
]


def errors(live: openai.OpenAI, test: openai.OpenAI) -> None:
    for expected, code, change in ERRORS:
        try:
            test.chat.completions.create(**{"model": "gpt-4o", "messages": MESSAGES, **change})
        except openai.APIStatusError as error:
            assert type(error) is expected, error
            assert error.code == code and error.type and error.request_id.startswith("req_")
        else:
            raise AssertionError(code)


def broken_stream(live: openai.OpenAI, test: openai.OpenAI) -> None:
    text = ""
    try:
        with live.chat.completions.create(
            model="gpt-4o", messages=scenario("cut_mid:4"), stream=True
        ) as chunks:
            for chunk in chunks:
                text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert error.code == "provider_unavailable", error
        assert text == "The capital of"
    else:
        raise AssertionError("the cut was not noticed")


def asynchronous(live: openai.OpenAI, test: openai.OpenAI) -> None:
    async def run() -> str:
        client = openai.AsyncOpenAI(api_key=live.api_key, base_url=str(live.base_url))
        async with (
            client,
            await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True
            ) as chunks,
        ):
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    assert asyncio.run(run()) == TEXT


CHECKS: list[Callable[[openai.OpenAI, openai.OpenAI], None]] = [
    chat,
    stream,
    stream_with_usage,
    stream_of_a_mended_provider,
    tools,
    streamed_tools,
    stream_helper,
    parse,
    parse_in_test_mode,
    models,
    images,
    errors,
    broken_stream,
    asynchronous,
]


def main(base_url: str, live_key: str, test_key: str) -> int:
    live = openai.OpenAI(api_key=live_key, base_url=base_url, max_retries=0, timeout=30)
    test = openai.OpenAI(api_key=test_key, base_url=base_url, max_retries=0, timeout=30)
    failed = 0
    with live, test:
        for check in CHECKS:
            try:
                check(live, test)
            except Exception:
                failed += 1
                print(f"FAILED {check.__name__}\n{traceback.format_exc()}")
            else:
                print(f"ok {check.__name__}")
    print(f"openai {openai.__version__}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
