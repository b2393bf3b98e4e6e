"""What people do with Google's Python SDK, for the 1.x line and the newest alike.

Run as `python genai_core.py BASE_URL KEY MODEL WORDS [CASE ...]`; WORDS is a JSON object with the
prompts of this run. Prints one JSON object: for each case `{"value": ...}`, what the user saw, or
`{"error": ...}`, what went wrong. Knows nothing of pytest: it also runs where there is only the SDK.
Annotations are evaluated here: the 1.x line calls no function whose annotations are strings.
"""

import asyncio
import base64
import enum
import json
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

Words = dict[str, Any]


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Place(BaseModel):
    name: str
    population: int


class City(BaseModel):
    name: str
    size: Size
    tags: list[str]
    inner: Place
    nickname: str | None


class Run:
    """One client, one model, and the prompts."""

    def __init__(self, base_url: str, key: str, model: str, words: Words) -> None:
        self.base_url, self.key, self.model, self.words = base_url, key, model, words
        self.client = self.connect(key)

    def connect(self, key: str) -> genai.Client:
        return genai.Client(
            api_key=key,
            http_options=types.HttpOptions(base_url=self.base_url, timeout=30_000),
        )

    def ask(self, prompt: Any, **config: Any) -> types.GenerateContentResponse:
        return self.client.models.generate_content(
            model=self.model, contents=prompt, config=settings(config)
        )

    def stream(self, prompt: Any, **config: Any) -> Iterable[types.GenerateContentResponse]:
        return self.client.models.generate_content_stream(
            model=self.model, contents=prompt, config=settings(config)
        )

    def chat(self, **config: Any) -> Any:
        return self.client.chats.create(model=self.model, config=settings(config))


def settings(config: dict[str, Any]) -> types.GenerateContentConfig | None:
    return types.GenerateContentConfig(**config) if config else None


# ----------------------------------------------------------------------------- what a user sees


def parts_of(answer: types.GenerateContentResponse) -> list[types.Part]:
    content = answer.candidates[0].content if answer.candidates else None
    return (content.parts if content else None) or []


def seen(answer: types.GenerateContentResponse) -> dict[str, Any]:
    """An answer, or a chunk of one, in plain values."""
    candidate = answer.candidates[0] if answer.candidates else None
    usage = answer.usage_metadata
    parts = parts_of(answer)
    return {
        "text": "".join(p.text for p in parts if p.text and not p.thought),
        "thoughts": "".join(p.text for p in parts if p.text and p.thought),
        "calls": [[p.function_call.name, p.function_call.args] for p in parts if p.function_call],
        "role": candidate.content.role if candidate and candidate.content else None,
        "finish": candidate.finish_reason.value if candidate and candidate.finish_reason else None,
        "usage": {
            "input": usage.prompt_token_count,
            "output": usage.candidates_token_count,
            "thoughts": usage.thoughts_token_count,
            "total": usage.total_token_count,
        }
        if usage
        else None,
        "model": answer.model_version,
        "id": answer.response_id,
    }


def all_seen(chunks: Iterable[types.GenerateContentResponse]) -> list[dict[str, Any]]:
    return [seen(chunk) for chunk in chunks]


def turns(chat: Any) -> list[list[Any]]:
    """The history of a chat: who, and the text or what else was said."""
    return [
        [
            c.role,
            "".join(p.text for p in c.parts or [] if p.text and not p.thought),
            len(c.parts or []),
        ]
        for c in chat.get_history(curated=True)
    ]


def failure(call: Callable[[], Any]) -> dict[str, Any]:
    """What a user catches, and what had arrived before."""
    before: list[Any] = []
    try:
        answer = call()
        if not isinstance(answer, types.GenerateContentResponse):
            before.extend(seen(chunk) for chunk in answer)
    except errors.APIError as error:
        return {"class": type(error).__name__, "before": before} | told(error)
    return {"class": None, "before": before}


def told(error: errors.APIError) -> dict[str, Any]:
    details = (error.details or {}).get("error", {}).get("details", [])
    return {
        "code": error.code,
        "status": error.status,
        "message": error.message,
        "reasons": [d["reason"] for d in details if "reason" in d],
    }


# ----------------------------------------------------------------------------- answers


def generate(run: Run) -> Any:
    answer = run.ask(run.words["hello"])
    headers = {k.lower(): v for k, v in (answer.sdk_http_response.headers or {}).items()}
    return seen(answer) | {"shortcut": answer.text, "request_id": headers.get("x-request-id")}


def stream(run: Run) -> Any:
    return all_seen(run.stream(run.words["hello"]))


def unicode(run: Run) -> Any:
    whole = seen(run.ask(run.words["unicode"]))["text"]
    return {
        "whole": whole,
        "streamed": [c["text"] for c in all_seen(run.stream(run.words["unicode"]))],
    }


def chat(run: Run) -> Any:
    talk = run.chat()
    texts = [talk.send_message(run.words[name]).text for name in ("hello", "again")]
    return {"texts": texts, "turns": turns(talk)}


def chat_stream(run: Run) -> Any:
    talk = run.chat()
    texts = []
    for name in ("hello", "again_streamed"):
        chunks = all_seen(talk.send_message_stream(run.words[name]))
        texts.append("".join(chunk["text"] for chunk in chunks))
    return {"texts": texts, "turns": turns(talk)}


def asynchronous(run: Run) -> Any:
    async def both() -> list[Any]:
        client = run.connect(run.key)
        models = client.aio.models
        whole = await models.generate_content(model=run.model, contents=run.words["hello"])
        chunks = await models.generate_content_stream(model=run.model, contents=run.words["hello"])
        return [seen(whole)["text"], "".join([seen(chunk)["text"] async for chunk in chunks])]

    return asyncio.run(both())


def system(run: Run) -> Any:
    short = seen(run.ask(run.words["plain"]))
    long = seen(run.ask(run.words["system"], system_instruction="Be brief. " * 20))
    return {"without": short["usage"]["input"], "with": long["usage"]["input"]}


def thinking(run: Run) -> Any:
    config = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
    whole = seen(run.ask(run.words["thinking"], thinking_config=config))
    return {
        "whole": whole,
        "chunks": all_seen(run.stream(run.words["thinking"], thinking_config=config)),
    }


def image(run: Run) -> Any:
    data = base64.b64decode(run.words["png"])
    picture = types.Part.from_bytes(data=data, mime_type="image/png")
    return seen(run.ask([picture, run.words["image"]]))


def knobs(run: Run) -> Any:
    """What samples set without thinking about the model."""
    return seen(
        run.ask(
            run.words["hello"],
            temperature=0.5,
            top_k=40,
            seed=7,
            max_output_tokens=2048,
            stop_sequences=["zzz"],
            safety_settings=[
                types.SafetySetting(
                    category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_ONLY_HIGH"
                )
            ],
        )
    )


# ----------------------------------------------------------------------------- functions


class Calls:
    """Python functions for the SDK to call by itself, and what it called."""

    def __init__(self) -> None:
        self.made: list[list[Any]] = []

    @property
    def lookup(self) -> Callable[[str], str]:
        def lookup(city: str) -> str:
            """Looks a city up."""
            self.made.append(["lookup", city])
            return f"{city} is large"

        return lookup

    @property
    def now(self) -> Callable[[], str]:
        def now() -> str:
            """Tells the time."""
            self.made.append(["now"])
            return "noon"

        return now


def automatic(run: Run, tools: Callable[[Calls], list[Any]], prompt: str, how: str) -> Any:
    """A chat whose functions the SDK calls by itself, until the model has its text."""
    calls = Calls()
    limit = types.AutomaticFunctionCallingConfig(maximum_remote_calls=run.words["rounds"])
    talk = run.chat(tools=tools(calls), automatic_function_calling=limit)
    if how == "stream":
        answers = all_seen(talk.send_message_stream(run.words[prompt]))
    else:
        answers = [seen(talk.send_message(run.words[prompt]))]
    text = "".join(answer["text"] for answer in answers)
    return {"made": calls.made, "text": text, "last": answers[-1] if answers else None}


def function_without_arguments(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.now], "call", "whole")


def function_without_arguments_stream(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.now], "call", "stream")


def function(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.lookup], "call", "whole")


def function_stream(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.lookup], "call", "stream")


def two_calls(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.lookup], "two_calls", "whole")


def two_calls_stream(run: Run) -> Any:
    return automatic(run, lambda calls: [calls.lookup], "two_calls", "stream")


def thinking_calls(run: Run) -> Any:
    """The two results go back together with what the model thought before it called."""
    return thinking_loop(run, lambda contents, config: [run.ask(contents, **config)])


def thinking_calls_stream(run: Run) -> Any:
    return thinking_loop(run, lambda contents, config: list(run.stream(contents, **config)))


def thinking_loop(run: Run, ask: Callable[[list[Any], dict[str, Any]], list[Any]]) -> Any:
    calls = Calls()
    config = {
        "tools": [calls.lookup],
        "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True),
        "thinking_config": types.ThinkingConfig(thinking_budget=2048, include_thoughts=True),
    }
    contents = [types.UserContent(parts=[types.Part(text=run.words["thinking_calls"])])]
    first = [part for answer in ask(contents, config) for part in parts_of(answer)]
    wanted = [part.function_call for part in first if part.function_call]
    results = [
        types.Part.from_function_response(name=c.name, response={"result": calls.lookup(**c.args)})
        for c in wanted
    ]
    contents += [types.ModelContent(parts=first), types.UserContent(parts=results)]
    answers = [seen(answer) for answer in ask(contents, config)]
    return {"made": calls.made, "text": "".join(answer["text"] for answer in answers)}


# ----------------------------------------------------------------------------- shaped answers


def schema_model(run: Run) -> Any:
    answer = run.ask(
        run.words["schema"], response_mime_type="application/json", response_schema=City
    )
    return {"parsed": answer.parsed.model_dump(mode="json"), "class": type(answer.parsed).__name__}


def schema_list(run: Run) -> Any:
    answer = run.ask(
        run.words["schema"], response_mime_type="application/json", response_schema=list[Place]
    )
    return [place.model_dump(mode="json") for place in answer.parsed]


def schema_json(run: Run) -> Any:
    answer = run.ask(
        run.words["schema"],
        response_mime_type="application/json",
        response_json_schema=Place.model_json_schema(),
    )
    return {"parsed": answer.parsed, "text": answer.text}


# ----------------------------------------------------------------------------- other methods


def count(run: Run) -> Any:
    tell = run.client.models.count_tokens
    short = tell(model=run.model, contents="Hello!")
    long = tell(model=run.model, contents="Hello! " * 50)
    return [short.total_tokens, long.total_tokens]


def models(run: Run) -> Any:
    pager = run.client.models.list(config={"page_size": 20})
    first = len(pager)
    listed = list(pager)
    one = run.client.models.get(model=run.model)
    return {
        "first_page": first,
        "names": [model.name for model in listed],
        "chatting": [m.name for m in listed if "generateContent" in (m.supported_actions or [])],
        "one": [one.name, one.input_token_limit, one.output_token_limit],
    }


def embeddings(run: Run) -> Any:
    def lengths(contents: Any, **config: Any) -> list[int]:
        answer = run.client.models.embed_content(
            model=run.words["embedding_model"],
            contents=contents,
            config=types.EmbedContentConfig(**config) if config else None,
        )
        assert all(isinstance(x, float) for e in answer.embeddings for x in e.values)
        return [len(embedding.values) for embedding in answer.embeddings]

    return {
        "one": lengths("Hello!"),
        "several": lengths(["Hello!", "Goodbye!", "Well."]),
        "short": lengths(["Hello!", "Goodbye!"], output_dimensionality=256),
        "task": lengths("Hello!", task_type="RETRIEVAL_QUERY"),
    }


# ----------------------------------------------------------------------------- failures


def wrong_key(run: Run) -> Any:
    client = run.connect("nobody")
    ask = {"model": run.model, "contents": "hi"}
    return [
        failure(lambda: client.models.generate_content(**ask)),
        failure(lambda: client.models.generate_content_stream(**ask)),
        failure(lambda: client.models.list()),
        failure(lambda: client.models.get(model=run.model)),
    ]


def unknown_model(run: Run) -> Any:
    ask = {"model": "no-such-model", "contents": "hi"}
    return [
        failure(lambda: run.client.models.generate_content(**ask)),
        failure(lambda: run.client.models.generate_content_stream(**ask)),
        failure(lambda: run.client.models.get(model="no-such-model")),
    ]


def both(run: Run, prompt: str, **config: Any) -> list[dict[str, Any]]:
    return [
        failure(lambda: run.ask(prompt, **config)),
        failure(lambda: run.stream(prompt, **config)),
    ]


def bad_request(run: Run) -> Any:
    return both(run, "hi", temperature=9)


def away(run: Run) -> Any:
    """Nothing has been said yet when the provider fails."""
    return both(run, run.words["away"])


def broken(run: Run) -> Any:
    """The provider fails in the middle of its answer."""
    return [failure(partial(run.stream, prompt)) for prompt in run.words["broken"]]


def limited(run: Run) -> Any:
    """One more call than the key may make; a window may end in between, so up to twice as many."""
    for _ in range(run.words["limit"]):
        caught = failure(lambda: run.ask(run.words["hello"]))
        if caught["class"]:
            return caught
    return None


CASES: list[Callable[[Run], Any]] = [
    generate,
    stream,
    unicode,
    chat,
    chat_stream,
    asynchronous,
    system,
    thinking,
    image,
    knobs,
    function_without_arguments,
    function_without_arguments_stream,
    function,
    function_stream,
    two_calls,
    two_calls_stream,
    thinking_calls,
    thinking_calls_stream,
    schema_model,
    schema_list,
    schema_json,
    count,
    models,
    embeddings,
    wrong_key,
    unknown_model,
    bad_request,
    away,
    broken,
    limited,
]


def outcome(case: Callable[[Run], Any], run: Run) -> dict[str, Any]:
    try:
        return {"value": case(run)}
    except Exception:
        return {"error": traceback.format_exc()}


def main(base_url: str, key: str, model: str, words: str, *names: str) -> None:
    run = Run(base_url, key, model, json.loads(words))
    cases = [case for case in CASES if case.__name__ in names or not names]
    results = {case.__name__: outcome(case, run) for case in cases}
    print(json.dumps({"sdk": genai.__version__} | results))


if __name__ == "__main__":
    main(*sys.argv[1:])
