"""What works where: the page made of `compatibility.json`, which the test matrix writes.

`python -m tests.compatibility --write` renews the file; a test fails where it is not what the
matrix finds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("compatibility.json")
WORDS = {"yes": "Yes", "partly": "Partly", "no": "No"}
INTRO = (
    "Every model answers through both APIs. This table is what the tests find: each feature, sent "
    "to models of each provider, through OpenAI’s API and through Google’s."
)
LEGEND = (
    "**Yes**: as with the provider’s own API. **Partly**: some models, or not quite the same; the "
    "note says why, and the answer’s header `x-gateway-warnings` says it each time. **No**: "
    "refused with an error that names the field. Where the two APIs differ, both are told."
)


@dataclass(frozen=True)
class Cell:
    """How a provider does in one feature: a level for each API that has it, once if they agree."""

    levels: tuple[tuple[str, str], ...]
    """Pairs of API (empty where all agree) and level."""

    @property
    def text(self) -> str:
        return ", ".join(
            f"{api}: {WORDS[level]}" if api else WORDS[level] for api, level in self.levels
        )


@dataclass(frozen=True)
class Row:
    feature: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    name: str
    rows: tuple[Row, ...]

    @property
    def id(self) -> str:
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class Compatibility:
    providers: tuple[str, ...]
    models: tuple[str, ...]
    """The models that were asked, joined, in the order of `providers`."""
    groups: tuple[Group, ...]


@cache
def load() -> Compatibility:
    data = json.loads(DATA.read_text())
    return Compatibility(
        providers=tuple(provider["name"] for provider in data["providers"]),
        models=tuple(", ".join(provider["models"]) for provider in data["providers"]),
        groups=tuple(
            Group(group["name"], tuple(_row(data, feature) for feature in group["features"]))
            for group in data["groups"]
        ),
    )


def _row(data: dict[str, Any], feature: dict[str, Any]) -> Row:
    notes: dict[str, None] = {}
    cells = []
    for provider in data["providers"]:
        found = [
            (surface["name"], feature["support"][surface["id"]][provider["id"]])
            for surface in data["surfaces"]
            if surface["id"] in feature["support"]
        ]
        cells.append(_cell([(name, cell["level"]) for name, cell in found]))
        told = found[:1] if len(cells[-1].levels) == 1 else found  # else it is the same twice
        notes |= {f"{provider['name']}: {c['why']}": None for _, c in told if c.get("why")}
    return Row(feature["name"], tuple(cells), tuple(notes))


def _cell(levels: list[tuple[str, str]]) -> Cell:
    if len({level for _, level in levels}) == 1:
        return Cell((("", levels[0][1]),))
    return Cell(tuple(levels))


def write_markdown(base_url: str) -> str:
    """The page for agents and for `curl`."""
    found = load()
    parts = ["# Compatibility", INTRO, LEGEND, f"Index of all pages: {base_url}/llms.txt"]
    parts.append(
        "\n".join(
            f"- {name}: {models}"
            for name, models in zip(found.providers, found.models, strict=True)
        )
    )
    for group in found.groups:
        parts += [f"## {group.name}", _table(found.providers, group)]
        notes = [f"- {row.feature}. {note}" for row in group.rows for note in row.notes]
        parts += ["\n".join(notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def _table(providers: tuple[str, ...], group: Group) -> str:
    head = ["Feature", *providers]
    rows = [[row.feature, *(cell.text for cell in row.cells)] for row in group.rows]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
