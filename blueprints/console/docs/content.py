"""What the API reference says, as data. HTML and Markdown are both written from it.

Text is Markdown. `%BASE%` stands for this server's public URL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import simulator
from models.plans import SHIPPED_PLANS


@dataclass(frozen=True)
class Prose:
    text: str


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str


@dataclass(frozen=True)
class Param:
    name: str
    type: str
    text: str
    required: bool = False
    default: str | None = None


@dataclass(frozen=True)
class Params:
    rows: tuple[Param, ...]


@dataclass(frozen=True)
class Table:
    """Cells are Markdown. `anchors` are the ids of the rows, if they have any."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    title: str
    language: str
    text: str


@dataclass(frozen=True)
class Samples:
    """The same call in several languages: language -> code."""

    title: str
    by_language: dict[str, str]


Block = Prose | Endpoint | Params | Table
CodeBlock = Code | Samples


@dataclass(frozen=True)
class Section:
    """`blocks` is the text, `code` stands beside it."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    code: tuple[CodeBlock, ...] = field(default=())


INTRO = (
    "Chat, images, embeddings and the Gemini methods behind one base URL and one key. "
    "Requests and answers are JSON, and the SDKs that you have already work as they are."
)

# ----------------------------------------------------------------------------- quick start

QUICK_START = Section(
    "quick-start",
    "Quick start",
    (
        Prose(
            "The base URL is `%BASE%/api/v1`. Point an OpenAI SDK at it, give it a key from "
            "[API keys](/console/keys), and nothing else in your code has to change.\n\n"
            "Install the SDK with `pip install openai` or `npm install openai`; for Google’s it "
            "is `pip install google-genai` or `npm install @google/genai`. Save the Node.js "
            "samples as `.mjs` files. Each sample on this page runs on its own.\n\n"
            "Create a **test** key first if no provider is connected yet: the same URLs, limits "
            "and errors, answered by a built-in simulator at no cost. See [Test mode](#test-mode)."
        ),
    ),
    (
        Samples(
            "Your first request",
            {
                "curl": """\
curl %BASE%/api/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'""",
                "python": """\
from openai import OpenAI

client = OpenAI(
    base_url="%BASE%/api/v1",
    api_key="YOUR_API_KEY",
)
answer = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(answer.choices[0].message.content)""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "%BASE%/api/v1",
  apiKey: "YOUR_API_KEY",
});
const answer = await client.chat.completions.create({
  model: "gpt-4o",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.choices[0].message.content);""",
            },
        ),
    ),
)

# ----------------------------------------------------------------------------- authentication

AUTHENTICATION = Section(
    "authentication",
    "Authentication",
    (
        Prose(
            "Send your key as a bearer token with every call. A key starts with `sy_live_` or "
            "`sy_test_`; you see it once, when it is created, and only its digest is stored.\n\n"
            "A key belongs on a server. Keep it out of browsers, apps and repositories. If one "
            "leaks, [rotate it](/console/keys) at once: name, limits and history stay with the "
            "key, and you choose whether the old secret ends now or in 24 hours."
        ),
        Prose(
            "### Gemini-compatible calls\n\n"
            "Google’s SDKs send the key as `x-goog-api-key` instead, and so should any call to "
            "`/api/v1beta/models/…`. `?key=` in the URL is read too, but ends up in logs.\n\n"
            "Every surface accepts every way. Two different keys in one request are refused with "
            "`conflicting_credentials`."
        ),
    ),
    (
        Code(
            "OpenAI-compatible",
            "curl",
            """\
curl %BASE%/api/v1/models \\
  -H "Authorization: Bearer YOUR_API_KEY\"""",
        ),
        Code(
            "Gemini-compatible",
            "curl",
            """\
curl %BASE%/api/v1beta/models \\
  -H "x-goog-api-key: YOUR_API_KEY\"""",
        ),
    ),
)

# ----------------------------------------------------------------------------- chat

CHAT = Section(
    "chat-completions",
    "Chat completions",
    (
        Endpoint("POST", "/api/v1/chat/completions"),
        Prose(
            "Continues a conversation. The wire is OpenAI’s for every model, whoever runs it: "
            "GPT-4o, Claude Sonnet and Opus, Gemini 2.5 Pro, DeepSeek. A model that its provider "
            "has retired and that is still listed is answered by its successor, named as "
            "`served_by` in the header `x-gateway-warnings`."
        ),
        Prose(
            "Test keys reach every model, live keys those whose provider the operator has "
            "connected: OpenAI, Anthropic, Google, DeepSeek, and OpenAI-compatible servers of "
            "their own. A live call to another model answers `provider_not_configured`."
        ),
        Params(
            (
                Param(
                    "model",
                    "string",
                    "Which model answers, for example `gpt-4o` or "
                    "`claude-sonnet-4-20250514`. See [Models](#models).",
                    required=True,
                ),
                Param(
                    "messages",
                    "array",
                    "The conversation so far. Each message has a `role` "
                    "(`system`, `user` or `assistant`) and its `content`.",
                    required=True,
                ),
                Param(
                    "temperature",
                    "number",
                    "How freely the model chooses its words, from 0 to 2.",
                    default="1",
                ),
                Param("max_tokens", "integer", "The answer ends after this many tokens."),
                Param(
                    "stream",
                    "boolean",
                    "Send the answer piece by piece as server-sent "
                    "events. See [Streaming](#streaming).",
                    default="false",
                ),
                Param(
                    "top_p",
                    "number",
                    "Choose only among the most likely tokens that together "
                    "reach this probability.",
                    default="1",
                ),
                Param(
                    "stop",
                    "string or array",
                    "Up to 4 texts. The answer ends before the first one that would appear.",
                ),
            )
        ),
        Prose(
            "Tools, `response_format`, `n`, `seed`, penalties, `reasoning_effort` and the other "
            "parameters of OpenAI’s endpoint are understood as well."
        ),
        Prose(
            "### Models of other providers\n\n"
            "Messages, pictures, documents, tools, JSON schemas, stop strings and reasoning are "
            "translated for Claude, Gemini and DeepSeek models, and their answers back. Where a "
            "model lacks something, you hear of it:\n\n"
            "- Content that it can’t take, more answers than it gives, or tools that only another "
            "provider runs: 400, naming the field.\n"
            "- A parameter it lacks is left out, brought into its range, or done by the gateway "
            "instead, and named in a header: `x-gateway-warnings: dropped=seed; "
            "clamped=temperature:1; emulated=response_format`.\n"
            "- With the request header `x-gateway-strict: true` each of these is a 400 "
            "`unsupported_parameter` instead, and so are parameters that nobody knows.\n\n"
            "What goes where, feature by feature: [Compatibility](/docs/compatibility)."
        ),
        Prose(
            "### Reasoning\n\n"
            "`reasoning_effort` (`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`) works "
            "for every model that reasons; the nearest effort that it knows is taken. What it "
            "thought comes as `reasoning_content` beside `content`, in streams too, where the "
            "provider tells it. Reasoning tokens are part of `completion_tokens`, and counted in "
            "`completion_tokens_details.reasoning_tokens`.\n\n"
            "Claude, Gemini and DeepSeek want their reasoning back when tools have answered. You "
            "needn’t care: it is kept for a day under the id of the tool call, and restored when "
            "the conversation goes on."
        ),
    ),
    (
        Samples(
            "Request",
            {
                "curl": """\
curl %BASE%/api/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Why is the sky blue?"}
    ],
    "temperature": 0.7,
    "max_tokens": 256
  }'""",
                "python": """\
from openai import OpenAI

client = OpenAI(base_url="%BASE%/api/v1", api_key="YOUR_API_KEY")

answer = client.chat.completions.create(
    model="gpt-4o",
    messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
    temperature=0.7,
    max_tokens=256,
)
print(answer.choices[0].message.content)""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%BASE%/api/v1", apiKey: "YOUR_API_KEY" });

const answer = await client.chat.completions.create({
  model: "gpt-4o",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Why is the sky blue?" },
  ],
  temperature: 0.7,
  max_tokens: 256,
});
console.log(answer.choices[0].message.content);""",
            },
        ),
        Code(
            "Response",
            "json",
            """\
{
  "id": "chatcmpl-7Q2m",
  "object": "chat.completion",
  "created": 1795348800,
  "model": "gpt-4o",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Air scatters blue light most."
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 23,
    "completion_tokens": 7,
    "total_tokens": 30
  }
}""",
        ),
    ),
)

STREAMING = Section(
    "streaming",
    "Streaming",
    (
        Prose(
            "With `stream: true` the answer comes as server-sent events: one JSON chunk per "
            "`data:` line, then `data: [DONE]`. Tokens are passed on as they arrive. Lines that "
            "start with a colon are comments that keep the connection open; SDKs skip them.\n\n"
            'Ask for `"stream_options": {"include_usage": true}` to get token counts in a last '
            "chunk. If the provider breaks off, the stream ends with one event that holds an "
            "`error`, and without `[DONE]`."
        ),
    ),
    (
        Samples(
            "Read a stream",
            {
                "curl": """\
curl -N %BASE%/api/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Count to three."}],
    "stream": true
  }'""",
                "python": """\
from openai import OpenAI

client = OpenAI(base_url="%BASE%/api/v1", api_key="YOUR_API_KEY")

stream = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Count to three."}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="")""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%BASE%/api/v1", apiKey: "YOUR_API_KEY" });

const stream = await client.chat.completions.create({
  model: "gpt-4o",
  messages: [{ role: "user", content: "Count to three." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}""",
            },
        ),
        Code(
            "On the wire",
            "sse",
            """\
data: {"id":"chatcmpl-7Q2m","choices":[{"index":0,"delta":{"content":"One"}}], …}

data: {"id":"chatcmpl-7Q2m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}], …}

data: [DONE]""",
        ),
    ),
)

# ----------------------------------------------------------------------------- images

IMAGES = Section(
    "images",
    "Images",
    (
        Endpoint("POST", "/api/v1/images/generations"),
        Prose(
            "Draws images from a description, with DALL·E 3, DALL·E 2 or Stable Diffusion. The "
            "answer holds links, or the PNG data itself in base64."
        ),
        Prose(
            "Test keys reach every model. In this release live keys reach OpenAI’s image models; a "
            "live call to another one answers `provider_not_configured`. The ids of Stable "
            "Diffusion are, for example, `sd3.5-large` and `stable-image-core`."
        ),
        Params(
            (
                Param(
                    "model",
                    "string",
                    "An image model, for example `dall-e-3`, `dall-e-2` or `sd3.5-large`.",
                    required=True,
                ),
                Param(
                    "prompt",
                    "string",
                    "What the image shows, in at most 4000 characters.",
                    required=True,
                ),
                Param(
                    "size",
                    "string",
                    "`256x256`, `512x512`, `1024x1024`, `1792x1024` or `1024x1792`.",
                    default="1024x1024",
                ),
                Param(
                    "quality",
                    "string",
                    "`standard` or `hd`. Only for `dall-e-3`.",
                    default="standard",
                ),
                Param("n", "integer", "How many images, 1 to 4.", default="1"),
                Param(
                    "response_format",
                    "string",
                    "`url` for links, `b64_json` for the data.",
                    default="url",
                ),
            )
        ),
    ),
    (
        Samples(
            "Request",
            {
                "curl": """\
curl %BASE%/api/v1/images/generations \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "dall-e-3",
    "prompt": "A signal box at dusk, ink and watercolour",
    "size": "1024x1024"
  }'""",
                "python": """\
from openai import OpenAI

client = OpenAI(base_url="%BASE%/api/v1", api_key="YOUR_API_KEY")

image = client.images.generate(
    model="dall-e-3",
    prompt="A signal box at dusk, ink and watercolour",
    size="1024x1024",
)
print(image.data[0].url)""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%BASE%/api/v1", apiKey: "YOUR_API_KEY" });

const image = await client.images.generate({
  model: "dall-e-3",
  prompt: "A signal box at dusk, ink and watercolour",
  size: "1024x1024",
});
console.log(image.data[0].url);""",
            },
        ),
        Code(
            "Response",
            "json",
            """\
{
  "created": 1795348800,
  "data": [
    {
      "url": "%BASE%/images/…",
      "revised_prompt": "A wooden signal box beside…"
    }
  ]
}""",
        ),
    ),
)

# ----------------------------------------------------------------------------- embeddings

EMBEDDINGS = Section(
    "embeddings",
    "Embeddings",
    (
        Endpoint("POST", "/api/v1/embeddings"),
        Prose(
            "Turns texts into vectors: the closer two vectors, the closer the meanings of their "
            "texts. Works with OpenAI’s and Google’s embedding models and with those of the "
            "OpenAI-compatible servers that the operator has connected. Vectors of different "
            "models can’t be compared.\n\n"
            "A call counts once against the chat limit, however many texts it holds."
        ),
        Params(
            (
                Param(
                    "model",
                    "string",
                    "An embedding model, for example `text-embedding-3-small` or "
                    "`gemini-embedding-001`.",
                    required=True,
                ),
                Param(
                    "input",
                    "string or array",
                    "A text, or up to 2048 of them. None may be empty. OpenAI’s models and local "
                    "ones also take lists of token numbers in place of texts.",
                    required=True,
                ),
                Param(
                    "encoding_format",
                    "string",
                    "`float` for numbers, `base64` for little-endian float32 in base64, which the "
                    "SDKs ask for and decode by themselves.",
                    default="float",
                ),
                Param(
                    "dimensions",
                    "integer",
                    "The length of the vectors, if the model can shorten them. Without it they "
                    "have the model’s own length.",
                ),
                Param("user", "string", "Your name for the end user. Google’s models drop it."),
            )
        ),
    ),
    (
        Samples(
            "Request",
            {
                "curl": """\
curl %BASE%/api/v1/embeddings \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "text-embedding-3-small",
    "input": ["A signal box at dusk", "Rails in the evening"]
  }'""",
                "python": """\
from openai import OpenAI

client = OpenAI(base_url="%BASE%/api/v1", api_key="YOUR_API_KEY")

answer = client.embeddings.create(
    model="text-embedding-3-small",
    input=["A signal box at dusk", "Rails in the evening"],
)
for item in answer.data:
    print(item.index, len(item.embedding))""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%BASE%/api/v1", apiKey: "YOUR_API_KEY" });

const answer = await client.embeddings.create({
  model: "text-embedding-3-small",
  input: ["A signal box at dusk", "Rails in the evening"],
});
for (const item of answer.data) {
  console.log(item.index, item.embedding.length);
}""",
            },
        ),
        Code(
            "Response",
            "json",
            """\
{
  "object": "list",
  "data": [
    {
      "object": "embedding",
      "index": 0,
      "embedding": [0.0123, -0.0457, …]
    },
    {
      "object": "embedding",
      "index": 1,
      "embedding": [0.0098, -0.0391, …]
    }
  ],
  "model": "text-embedding-3-small",
  "usage": {
    "prompt_tokens": 9,
    "total_tokens": 9
  }
}""",
        ),
    ),
)

# ----------------------------------------------------------------------------- models

MODELS = Section(
    "models",
    "Models",
    (
        Endpoint("GET", "/api/v1/models"),
        Endpoint("GET", "/api/v1/models/{model}"),
        Prose(
            "The models that your key may call. A live key sees those whose provider is "
            "connected; a test key sees all. Listing doesn’t count against a limit.\n\n"
            "Ids carry no vendor prefix. A listed id whose provider has retired it stays valid: "
            "its successor answers, and `x-gateway-warnings` says `served_by=…`."
        ),
    ),
    (
        Samples(
            "Request",
            {
                "curl": """\
curl %BASE%/api/v1/models \\
  -H "Authorization: Bearer YOUR_API_KEY\"""",
                "python": """\
from openai import OpenAI

client = OpenAI(base_url="%BASE%/api/v1", api_key="YOUR_API_KEY")

for model in client.models.list():
    print(model.id, model.owned_by)""",
                "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%BASE%/api/v1", apiKey: "YOUR_API_KEY" });

for await (const model of client.models.list()) {
  console.log(model.id, model.owned_by);
}""",
            },
        ),
        Code(
            "Response",
            "json",
            """\
{
  "object": "list",
  "data": [
    {"id": "gpt-4o", "object": "model", "owned_by": "openai"},
    {"id": "gemini-2.5-pro", "object": "model", "owned_by": "google"}
  ]
}""",
        ),
    ),
)

# ----------------------------------------------------------------------------- gemini

GEMINI = Section(
    "gemini",
    "Gemini-compatible API",
    (
        Endpoint("POST", "/api/v1beta/models/{model}:generateContent"),
        Prose(
            "Google’s REST wire, for code that speaks it already. Send `contents` as to Google, "
            "with your key in `x-goog-api-key`; the answer has Google’s shape. `{model}` is any "
            "model id, for example `gemini-2.5-pro` or `gemini-2.5-flash`."
        ),
        Table(
            ("Method", "What it does"),
            (
                ("`:generateContent`", "One whole answer."),
                ("`:streamGenerateContent`", "The same as a stream; add `?alt=sse` for events."),
                (
                    "`:countTokens`",
                    "How many tokens `contents`, or a whole `generateContentRequest`, would use. "
                    "Counts against no limit and costs nothing.",
                ),
                ("`:embedContent`", "The vector of one `content`."),
                ("`:batchEmbedContents`", "The vectors of several, in the order of `requests`."),
                (
                    "`GET /api/v1beta/models`",
                    "The models in Google’s shape, 50 a page: `pageSize` (at most 1000) and "
                    "`pageToken`, which is the last page’s `nextPageToken`.",
                ),
            ),
        ),
        Prose(
            "Every method answers under `/api/v1/models/…` as well. Google’s and Anthropic’s "
            "models are counted by their makers; for other models `:countTokens` is an estimate, "
            "and `x-gateway-warnings` says `emulated=countTokens`. `taskType` and `title` mean "
            "something to Google’s embedding models only: others drop them and say so."
        ),
    ),
    (
        Samples(
            "Request",
            {
                "curl": """\
curl %BASE%/api/v1beta/models/gemini-2.5-pro:generateContent \\
  -H "x-goog-api-key: YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "contents": [
      {"parts": [{"text": "Why do magnets attract?"}]}
    ]
  }'""",
                "python": """\
from google import genai

client = genai.Client(
    api_key="YOUR_API_KEY",
    http_options={"base_url": "%BASE%/api"},
)
answer = client.models.generate_content(
    model="gemini-2.5-pro",
    contents="Why do magnets attract?",
)
print(answer.text)""",
                "node": """\
import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({
  apiKey: "YOUR_API_KEY",
  httpOptions: { baseUrl: "%BASE%/api" },
});
const answer = await client.models.generateContent({
  model: "gemini-2.5-pro",
  contents: "Why do magnets attract?",
});
console.log(answer.text);""",
            },
        ),
        Code(
            "Response",
            "json",
            """\
{
  "candidates": [
    {
      "content": {
        "parts": [{"text": "Electrons spin…"}],
        "role": "model"
      },
      "finishReason": "STOP"
    }
  ],
  "usageMetadata": {
    "promptTokenCount": 6,
    "candidatesTokenCount": 90,
    "totalTokenCount": 96
  }
}""",
        ),
    ),
)

# ----------------------------------------------------------------------------- limits

PLAN_NOTES = {
    "free": "To try things out. Every new account.",
    "standard": "The usual plan of a paying account.",
    "pro": "For more throughput.",
    "enterprise": "Set per account; talk to the operator.",
}


def _plan_row(plan: dict) -> tuple[str, ...]:
    custom = plan["id"] == "enterprise"
    limits = ("Custom", "Custom") if custom else (str(plan["chat_rpm"]), str(plan["image_rpm"]))
    return (plan["name"], *limits, PLAN_NOTES[plan["id"]])


RATE_LIMITS = Section(
    "rate-limits",
    "Rate limits",
    (
        Prose(
            "Each key may make so many requests a minute, counted in windows that start with "
            "the UTC minute. Past that the answer is `429` until the window resets. Rotating a "
            "key neither resets nor doubles its limit.\n\n"
            "A call that generates something counts once it is admitted, whatever comes of it. "
            "Requests refused before that with a 4xx don’t count, nor do those that only list, "
            "get or count something. Embeddings count as chat."
        ),
        Table(
            ("Plan", "Chat / min", "Images / min", "For whom"),
            tuple(_plan_row(plan) for plan in SHIPPED_PLANS),
        ),
        Prose(
            "### Headers\n\nEvery answer to a valid key tells where it stands, errors and "
            "streams included. The others are under [Response headers](#response-headers)."
        ),
        Table(
            ("Header", "Meaning"),
            (
                ("`X-RateLimit-Limit-Requests`", "Requests that the window allows."),
                ("`X-RateLimit-Remaining-Requests`", "Requests left in this window."),
                (
                    "`X-RateLimit-Reset-Requests`",
                    "When the window resets, in UTC seconds since the epoch.",
                ),
                ("`Retry-After`", "With 429 and 503: how many seconds to wait."),
            ),
        ),
    ),
    (
        Code(
            "A refused request",
            "http",
            """\
HTTP/1.1 429 Too Many Requests
X-RateLimit-Limit-Requests: 10
X-RateLimit-Remaining-Requests: 0
X-RateLimit-Reset-Requests: 1795348860
Retry-After: 21""",
        ),
    ),
)

# ----------------------------------------------------------------------------- response headers

RESPONSE_HEADERS = Section(
    "response-headers",
    "Response headers",
    (
        Prose("Beside those of [Rate limits](#rate-limits), answers tell where they come from."),
        Table(
            ("Header", "Meaning"),
            (
                ("`x-request-id`", "This request’s id. Name it when you ask for help."),
                ("`x-gateway-provider`", "The provider that answered."),
                ("`x-gateway-attempts`", "How many attempts the answer took."),
                ("`x-gateway-mode`", "The key’s mode, `live` or `test`."),
                (
                    "`x-gateway-warnings`",
                    "What was done otherwise than asked, such as `served_by=…`. Only if there is "
                    "something to say.",
                ),
                ("`x-gateway-cost-usd`", "What the call cost, in US dollars. Not on streams."),
                ("`Retry-After`", "With 429 and 503: how many seconds to wait."),
                ("`x-should-retry`", "With some errors: `false` if a retry can’t help."),
            ),
        ),
    ),
)

# ----------------------------------------------------------------------------- test mode

MAGIC_NOTES = {"test:tool": "; needs `tools` in the request"}

TEST_MODE = Section(
    "test-mode",
    "Test mode",
    (
        Prose(
            "Calls with a `sy_test_` key are answered by a simulator: the same URLs, limits and "
            "errors, at no cost, and the same answer to the same request.\n\n"
            "A word of this table in the last user message rehearses what is hard to bring about "
            "otherwise."
        ),
        Table(
            ("Write", "To get"),
            tuple(
                (f"`{word}`", f"{effect[0].upper()}{effect[1:]}{MAGIC_NOTES.get(word, '')}.")
                for word, effect in simulator.MAGIC.items()
            ),
        ),
    ),
    (
        Code(
            "Rehearse a rate limit",
            "curl",
            """\
curl -i %BASE%/api/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "test:429"}]
  }'""",
        ),
    ),
)

# ----------------------------------------------------------------------------- errors

ERROR_STATUSES = (
    (
        "400",
        "`invalid_request_error`",
        "The body isn’t valid JSON, or a parameter is missing or wrong. `param` names it.",
    ),
    (
        "401",
        "`authentication_error`",
        "There is no key, or it isn’t valid. Look at the `Authorization` header.",
    ),
    (
        "403",
        "`permission_error`",
        "The key is fine, but not allowed to do this: access is off for "
        "the account, or the plan lacks the model.",
    ),
    ("404", "`not_found_error`", "There is no such model or address."),
    (
        "405, 409, 413",
        "`invalid_request_error`",
        "Wrong method, a clash with an earlier request, or a body that is too large.",
    ),
    ("429", "`rate_limit_error`", "You have reached a limit. Wait for `Retry-After`."),
    ("500", "`internal_server_error`", "Our fault. Retry, each time after a longer pause."),
    (
        "503",
        "`service_unavailable_error`",
        "The provider behind the model can’t answer now. Retry after `Retry-After`.",
    ),
)

ERROR_CODES = (
    ("invalid_json", "400", "The body doesn’t parse as JSON. The message says where."),
    ("missing_required_parameter", "400", "Add the parameter that `param` names."),
    ("invalid_type", "400", "The parameter has another type than its table says."),
    ("invalid_value", "400", "The type is right, the value isn’t one of those allowed."),
    ("empty_array", "400", "The list needs at least one entry."),
    ("array_above_max_length", "400", "The list has too many entries, such as a fifth `stop`."),
    ("string_above_max_length", "400", "Shorten the text, such as an image prompt."),
    ("decimal_above_max_value", "400", "The number is too large, such as a temperature over 2."),
    ("decimal_below_min_value", "400", "The number is too small."),
    ("integer_above_max_value", "400", "The whole number is too large, such as `n` over 4."),
    ("integer_below_min_value", "400", "The whole number is too small, such as `n` of 0."),
    ("unknown_parameter", "400", "There is no such parameter. Check its spelling."),
    ("unsupported_parameter", "400", "This model can’t take the parameter. Leave it out."),
    ("unsupported_value", "400", "This model takes the parameter, but not this value."),
    ("unsupported_encoding", "400", "Send the body as it is, without `Content-Encoding`."),
    ("conflicting_credentials", "400", "Two different keys were sent. Send one."),
    ("context_length_exceeded", "400", "The conversation is longer than the model can read."),
    ("content_policy_violation", "400", "The provider refused the content. Change the prompt."),
    ("invalid_request", "400", "The provider refused the request; the message says why."),
    ("missing_api_key", "401", "Add the header `Authorization: Bearer YOUR_API_KEY`."),
    ("invalid_api_key", "401", "No such key. Check that you copied all of it."),
    ("expired_api_key", "401", "The key’s time is over. Create another."),
    ("revoked_api_key", "401", "The key was revoked or rotated. Use the new one."),
    ("api_access_disabled", "403", "The operator has switched off the account’s API access."),
    ("model_not_allowed", "403", "Your plan or this key leaves the model out."),
    ("ip_not_allowed", "403", "The key is bound to other addresses than yours."),
    ("model_not_found", "404", "Check the id against [Models](#models)."),
    (
        "unknown_url",
        "404",
        "Nothing is served here. The message names the address to use where there is one.",
    ),
    ("method_not_allowed", "405", "Use the method that the reference gives."),
    (
        "idempotency_conflict",
        "409",
        "Reserved for a request sent twice with different bodies. Don’t retry.",
    ),
    ("request_too_large", "413", "Send a smaller body, for instance smaller images."),
    ("rate_limit_exceeded", "429", "Too many requests this minute. Wait for the reset."),
    ("tokens_exceeded", "429", "Too many tokens this minute. Wait for the reset."),
    ("concurrency_exceeded", "429", "Too many calls at once. Let one finish first."),
    ("insufficient_quota", "429", "The spending cap is reached. Waiting a minute won’t help."),
    ("internal_error", "500", "Retry; if it stays, tell the operator the request id."),
    ("provider_unavailable", "503", "The provider failed or is too busy. Retry."),
    (
        "provider_not_configured",
        "503",
        "No provider is connected for this model. The message "
        "names the setting; a test key works without.",
    ),
    ("overloaded", "503", "This server is at its limit. Retry after `Retry-After`."),
)

ERRORS = Section(
    "errors",
    "Errors",
    (
        Prose(
            "An error has the same shape everywhere: `message` for people, `type` and `code` for "
            "programs, `param` for the field it is about. SDKs raise it as their own exception. "
            "Retry 429, 500 and 503, unless the header `x-should-retry` says `false`.\n\n"
            "The Gemini surface answers the same causes with the same status in Google’s shape."
        ),
        Table(("HTTP", "Type", "What it means"), ERROR_STATUSES),
        Prose("### Codes"),
        Table(
            ("Code", "HTTP", "What to do"),
            tuple((f"`{code}`", status, text) for code, status, text in ERROR_CODES),
            tuple(f"error-{code}" for code, _, _ in ERROR_CODES),
        ),
    ),
    (
        Code(
            "Example",
            "json",
            """\
{
  "error": {
    "message": "Invalid API key provided.",
    "type": "authentication_error",
    "param": null,
    "code": "invalid_api_key"
  }
}""",
        ),
    ),
)

SECTIONS = (
    QUICK_START,
    AUTHENTICATION,
    CHAT,
    STREAMING,
    IMAGES,
    EMBEDDINGS,
    MODELS,
    GEMINI,
    RATE_LIMITS,
    RESPONSE_HEADERS,
    TEST_MODE,
    ERRORS,
)
