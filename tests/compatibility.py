"""What works where: the matrix of `tests.gateway.matrix`, summed up for people who choose a model.

`python -m tests.compatibility --write` runs the matrix and writes `compatibility.json` of the docs;
without `--write` it says whether that file is what the matrix finds, by its exit status. The file:

    {
      "surfaces":  [{"id": "openai", "name": "..."}, {"id": "gemini", "name": "..."}],
      "providers": [{"id": "openai", "name": "OpenAI", "models": ["gpt-4o", ...]}, ...],
      "groups":    [{"name": "Tools", "features": [{
                      "name": "Parallel tool calls",
                      "support": {"openai": {"anthropic": {"level": "yes"},
                                             "gemini": {"level": "partly", "why": "..."}, ...},
                                  "gemini": {...}}}]}]
    }

`models` are those that were tried. `support` is by surface, then by provider; a surface that cannot
ask for a feature at all is missing. `level` is "yes", "partly" or "no". The last two have a `why`,
one short sentence of plain text: "partly" comes from the warnings that the gateway gave (left out,
bent, done by the gateway), or from models of one provider that differ; "no" is a 400 that names the
field.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.gateway.gateway_in_process import Outcome
from tests.gateway.matrix import GROUPS, MODELS, PROVIDER, SURFACES, Case, Cell

FILE = Path(__file__).parents[1] / "blueprints" / "console" / "docs" / "compatibility.json"
SURFACE_NAMES = {"openai": "Chat Completions", "gemini": "generateContent"}
PROVIDER_NAMES = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "gemini": "Google",
    "deepseek": "DeepSeek",
    "local": "Your own server",
}
EMULATED = {
    "response_format": "The gateway asks for it in words; the shape is not enforced.",
    "tool_choice": "The gateway asks for the call in words; the model may still not call.",
    "stop": "The gateway looks for the string itself and cuts the answer there.",
}
ALIASES = {
    "responseSchema": "response_format",
    "responseJsonSchema": "response_format",
    "responseMimeType": "response_format",
    "functionCallingConfig": "tool_choice",
    "stopSequences": "stop",
}
"""Google's names for the fields of `EMULATED`."""
NOT_ABOUT_IT = ("served_by",)
"""Warnings that are about the model and not about the feature."""


def level_of(outcome: Outcome) -> tuple[str, str]:
    """The level that one answer shows, and why."""
    if outcome.status == 400:
        return "no", "Refused with an error that says so."
    assert outcome.status == 200, outcome.error
    for warning in outcome.warnings:
        kind, _, what = warning.partition("=")
        if kind not in NOT_ABOUT_IT:
            return "partly", sentence(kind, what)
    return "yes", ""


def sentence(kind: str, what: str) -> str:
    names = [one.partition(":")[0] for one in what.split(",")]
    if kind == "emulated":
        return EMULATED[ALIASES.get(names[0], names[0])]
    if kind == "clamped":
        return "The nearest value that the model knows is used."
    return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} left out."


def summed_up(found: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """One level for all models of a provider; what holds for some of them says so."""
    kinds = set(found.values())
    if len(kinds) == 1:
        level, why = kinds.pop()
        return {"level": level, "why": why} if why else {"level": level}
    sentences = []
    for level, why in sorted(kinds - {("yes", "")}):
        models = ", ".join(name for name, kind in found.items() if kind == (level, why))
        sentences.append(f"{models}: {why[:1].lower()}{why[1:]}")
    return {"level": "partly", "why": " ".join(sentences)}


def support(case: Case) -> dict[str, Any]:
    return {
        surface: {
            provider: summed_up(
                {
                    model: level_of(Cell(case, surface, model).run(stream=False))
                    for model in models_of(provider)
                }
            )
            for provider in PROVIDER_NAMES
        }
        for surface in SURFACES
        if case.body(surface) is not None
    }


def models_of(provider: str) -> Iterable[str]:
    return [model for model in MODELS if PROVIDER[model] == provider]


def compatibility() -> dict[str, Any]:
    """What the matrix finds, as in the file."""
    return {
        "surfaces": [{"id": id_, "name": name} for id_, name in SURFACE_NAMES.items()],
        "providers": [
            {"id": id_, "name": name, "models": list(models_of(id_))}
            for id_, name in PROVIDER_NAMES.items()
        ],
        "groups": [
            {
                "name": name,
                "features": [{"name": case.feature, "support": support(case)} for case in cases],
            }
            for name, cases in GROUPS.items()
        ],
    }


def written(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    text = written(compatibility())
    if "--write" in sys.argv:
        FILE.write_text(text)
        return 0
    return 0 if FILE.exists() and FILE.read_text() == text else 1


if __name__ == "__main__":
    sys.exit(main())
