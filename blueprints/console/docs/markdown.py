"""The reference as Markdown: the twin of each page, for agents and for `curl`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from blueprints.console.docs import content
from blueprints.console.docs.content import Code, Endpoint, Params, Prose, Samples, Section, Table
from blueprints.console.snippets import LABELS

FENCES = {"curl": "bash", "node": "javascript", "sse": "text", "http": "http"}


def write_reference(base_url: str) -> str:
    parts = ["# API reference", content.INTRO, "Index of all pages: %BASE%/llms.txt"]
    parts += [write_section(section) for section in content.SECTIONS]
    return "\n\n".join(parts).replace("%BASE%", base_url).replace("](/", f"]({base_url}/") + "\n"


def write_section(section: Section) -> str:
    blocks = [write_block(block) for block in (*section.blocks, *section.code)]
    return "\n\n".join([f"## {section.title}", *blocks])


def write_index(base_url: str) -> str:
    """`/llms.txt`: what there is to read, for agents."""
    sections = "\n".join(f"- [{s.title}]({base_url}/docs.md#{s.id})" for s in content.SECTIONS)
    return (
        f"# Switchyard\n\n> {content.INTRO}\n\n"
        f"The OpenAI-compatible base URL is {base_url}/api/v1. "
        f"Google’s SDKs use {base_url}/api.\n\n"
        f"## Docs\n\n- [API reference]({base_url}/docs.md): everything on one page\n"
        f"- [Compatibility]({base_url}/docs/compatibility.md): what works with which provider\n\n"
        f"## Sections of the reference\n\n{sections}\n"
    )


@singledispatch
def write_block(block: object) -> str:
    raise TypeError(f"no Markdown for {type(block).__name__}")


@write_block.register
def _(block: Prose) -> str:
    return block.text


@write_block.register
def _(block: Endpoint) -> str:
    return f"`{block.method} {block.path}`"


@write_block.register
def _(block: Params) -> str:
    rows = [(f"`{p.name}`", p.type, _need(p.required, p.default), p.text) for p in block.rows]
    return _table(("Parameter", "Type", "Required", "Description"), rows)


@write_block.register
def _(block: Table) -> str:
    return _table(block.headers, block.rows)


@write_block.register
def _(block: Code) -> str:
    return f"{block.title}:\n\n{_fence(block.language, block.text)}"


@write_block.register
def _(block: Samples) -> str:
    fences = [
        f"{block.title} ({LABELS[language]}):\n\n{_fence(language, code)}"
        for language, code in block.by_language.items()
    ]
    return "\n\n".join(fences)


def _need(required: bool, default: str | None) -> str:
    if required:
        return "Required"
    return f"Optional, default `{default}`" if default else "Optional"


def _fence(language: str, code: str) -> str:
    return f"```{FENCES.get(language, language)}\n{code}\n```"


def _table(headers: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(map(_row, [headers, ["---" for _ in headers], *rows]))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
