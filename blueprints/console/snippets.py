"""The first request, ready to paste, in the three languages people start with."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from markupsafe import Markup, escape

from blueprints.console.highlight import highlight

PLACEHOLDER = "YOUR_API_KEY"
PREFERRED = ("gpt-4o-mini", "gpt-4o")
LABELS = {"curl": "curl", "python": "Python", "node": "Node.js"}

FIRST_REQUEST = {
    "curl": """\
curl {base_url}/api/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "model": "{model}",
    "messages": [{{"role": "user", "content": "Hello!"}}]
  }}'""",
    "python": """\
from openai import OpenAI

client = OpenAI(
    base_url="{base_url}/api/v1",
    api_key="YOUR_API_KEY",
)
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)""",
    "node": """\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base_url}/api/v1",
  apiKey: "YOUR_API_KEY",
}});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);""",
}


@dataclass(frozen=True)
class Sample:
    """A piece of code under a tab."""

    language: str
    label: str
    html: Markup


def first_request(key: str = PLACEHOLDER) -> list[Sample]:
    """The samples with this server's URL, a model of its catalog and, if given, the key."""
    values = {"base_url": current_app.config["CONFIG"].public_url, "model": suggested_model()}
    return [
        Sample(language, LABELS[language], _with_key(template.format(**values), language, key))
        for language, template in FIRST_REQUEST.items()
    ]


def suggested_model() -> str:
    """A small chat model that the catalog has."""
    models = current_app.extensions["platform"].catalog.models
    chat = (id_ for id_, model in models.items() if model.kind == "chat")
    return next((id_ for id_ in PREFERRED if id_ in models), None) or next(chat, PREFERRED[0])


def _with_key(code: str, language: str, key: str) -> Markup:
    """Highlighted with the placeholder, so that the secret never meets the cache."""
    html = highlight(code, language)
    return html if key == PLACEHOLDER else Markup(html.replace(PLACEHOLDER, escape(key)))  # noqa: S704
