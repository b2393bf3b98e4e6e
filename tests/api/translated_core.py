"""What people do with the OpenAI SDK, where another provider's model answers.

Run as `python translated_core.py BASE_URL KEY MODEL WORDS [CASE ...]`, like genai_core.py. Its
sister is tests/node/openai.mjs.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import openai
from pydantic import BaseModel

JSON = dict[str, Any]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Looks a city up.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    },
    {"type": "function", "function": {"name": "now", "description": "Tells the time."}},
]


class Place(BaseModel):
    name: str
    population: int


class City(BaseModel):
    name: str
    size: Literal["small", "large"]
    tags: list[str]
    inner: Place
    nickname: str | None


class Run:
    """One client, one model, and the prompts."""

    def __init__(self, base_url: str, key: str, model: str, words: JSON) -> None:
        self.model, self.words = model, words
        self.client = openai.OpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=30)
        self.completions = self.client.chat.completions

    def say(self, word: str) -> list[JSON]:
        return [{"role": "user", "content": self.words[word]}]

    def ask(self, messages: list[JSON], **options: Any) -> Any:
        return self.completions.create(model=self.model, messages=messages, **options)

    def whole(self, messages: list[JSON], **options: Any) -> Any:
        return self.ask(messages, **options).choices[0].message

    def streamed(self, messages: list[JSON], **options: Any) -> Any:
        with self.completions.stream(model=self.model, messages=messages, **options) as events:
            return events.get_final_completion().choices[0].message


def usage_of(usage: Any) -> JSON | None:
    return usage and {
        "input": usage.prompt_tokens,
        "output": usage.completion_tokens,
        "total": usage.total_tokens,
    }


# ----------------------------------------------------------------------------- answers


def create(run: Run) -> JSON:
    done = run.ask(run.say("hello"))
    choice = done.choices[0]
    return {
        "text": choice.message.content,
        "role": choice.message.role,
        "finish": choice.finish_reason,
        "model": done.model,
        "usage": usage_of(done.usage),
        "request_id": done._request_id,
    }


def stream(run: Run) -> JSON:
    with run.ask(run.say("hello"), stream=True, stream_options={"include_usage": True}) as chunks:
        found = list(chunks)
    choices = [chunk.choices[0] for chunk in found if chunk.choices]
    return {
        "texts": [choice.delta.content or "" for choice in choices],
        "finishes": [choice.finish_reason for choice in choices if choice.finish_reason],
        "usages": [usage_of(chunk.usage) for chunk in found if chunk.usage],
        "ids": sorted({chunk.id for chunk in found}),
        "is_last_without_choices": not found[-1].choices,
    }


def unicode(run: Run) -> list[str]:
    return [ask(run.say("unicode")).content for ask in (run.whole, run.streamed)]


def conversation(run: Run) -> str:
    messages = [{"role": "system", "content": "Be brief."}, *run.say("hello")]
    messages.append({"role": "assistant", "content": run.whole(messages).content})
    return run.whole([*messages, *run.say("again")]).content


def image(run: Run) -> str:
    url = {"url": f"data:image/png;base64,{run.words['png']}"}
    text = {"type": "text", "text": run.words["image"]}
    return run.whole(
        [{"role": "user", "content": [text, {"type": "image_url", "image_url": url}]}]
    ).content


def parse(run: Run) -> JSON:
    done = run.completions.parse(model=run.model, messages=run.say("schema"), response_format=City)
    return done.choices[0].message.parsed.model_dump(mode="json")


def json_object(run: Run) -> str:
    return run.whole(run.say("json"), response_format={"type": "json_object"}).content


def knobs(run: Run) -> str:
    return run.whole(
        run.say("hello"),
        temperature=0.5,
        max_tokens=2048,
        stop=["zzz"],
        seed=7,
        user="somebody",
        presence_penalty=0.5,
    ).content


# ----------------------------------------------------------------------------- tools


def loop(run: Run, word: str, ask: Callable[..., Any], **options: Any) -> JSON:
    """Call what the model wants called, and tell it the results, as every sample does."""
    messages = run.say(word)
    made: list[list[str]] = []
    message = ask(messages, tools=TOOLS, **options)
    if message.tool_calls:
        messages.append(message.model_dump(exclude_none=True, include=ECHOED))
        for call in message.tool_calls:
            made.append([call.function.name, json.loads(call.function.arguments).get("city")])
            messages.append(
                {"role": "tool", "tool_call_id": call.id, "content": f"{made[-1][1]} is large"}
            )
        message = ask(messages, tools=TOOLS, **options)
    return {"made": made, "text": message.content}


ECHOED = {"role", "content", "tool_calls"}
"""What a caller sends back of a message: the API has no field for more."""


def tools(run: Run) -> JSON:
    return loop(run, "call", run.whole)


def tools_stream(run: Run) -> JSON:
    return loop(run, "call", run.streamed)


def two_tools(run: Run) -> JSON:
    return loop(run, "two_calls", run.whole)


def two_tools_stream(run: Run) -> JSON:
    return loop(run, "two_calls", run.streamed)


def thinking_tools(run: Run) -> JSON:
    return loop(run, "thinking_calls", run.whole, reasoning_effort="low")


def thinking_tools_stream(run: Run) -> JSON:
    return loop(run, "thinking_calls", run.streamed, reasoning_effort="low")


def forced_tool(run: Run) -> list[str]:
    choice = {"type": "function", "function": {"name": "now"}}
    message = run.whole(run.say("forced"), tools=TOOLS, tool_choice=choice)
    return [call.function.name for call in message.tool_calls or []]


# ----------------------------------------------------------------------------- failures


def failure(call: Callable[[], Any]) -> JSON:
    """What a user catches, and the text that had arrived before."""
    text = ""
    try:
        answer = call()
        if isinstance(answer, openai.Stream):
            for chunk in answer:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except openai.APIError as error:
        status = getattr(error, "status_code", None)
        return {
            "class": type(error).__name__, "code": error.code, "type": error.type,
            "param": error.param, "status": status, "message": str(error), "text": text,
        }  # fmt: skip
    return {"class": None, "text": text}


def failures(run: Run, messages: list[JSON], **options: Any) -> list[JSON]:
    """Of a whole answer, and of a stream."""
    return [
        failure(lambda: run.ask(messages, **options)),
        failure(lambda: run.ask(messages, stream=True, **options)),
    ]


def bad_request(run: Run) -> list[JSON]:
    return failures(run, run.say("hello"), temperature=3)


def refused_upstream(run: Run) -> list[JSON]:
    return failures(run, run.say("refused"))


def away(run: Run) -> list[JSON]:
    return [found for word in run.words["away"] for found in failures(run, said(word))]


def broken(run: Run) -> list[JSON]:
    return [failure(partial(run.ask, said(word), stream=True)) for word in run.words["broken"]]


def said(text: str) -> list[JSON]:
    return [{"role": "user", "content": text}]


CASES: list[Callable[[Run], Any]] = [
    create,
    stream,
    unicode,
    conversation,
    image,
    parse,
    json_object,
    knobs,
    tools,
    tools_stream,
    two_tools,
    two_tools_stream,
    thinking_tools,
    thinking_tools_stream,
    forced_tool,
    bad_request,
    refused_upstream,
    away,
    broken,
]


def outcome(case: Callable[[Run], Any], run: Run) -> JSON:
    try:
        return {"value": case(run)}
    except Exception:
        return {"error": traceback.format_exc()}


def main(base_url: str, key: str, model: str, words: str, *names: str) -> None:
    run = Run(base_url, key, model, json.loads(words))
    cases = [case for case in CASES if case.__name__ in names or not names]
    results = {case.__name__: outcome(case, run) for case in cases}
    print(json.dumps({"sdk": openai.__version__} | results))


if __name__ == "__main__":
    main(*sys.argv[1:])
