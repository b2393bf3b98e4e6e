"""The API reference and what works where: public, as pages and as Markdown."""

from __future__ import annotations

from functools import lru_cache

from flask import Blueprint, Response, current_app, render_template
from markdown_it import MarkdownIt
from markupsafe import Markup

from blueprints.console.docs import compatibility, content, markdown
from blueprints.console.highlight import highlight
from blueprints.console.snippets import LABELS, Sample

FOR_A_MINUTE = "public, max-age=60"

bp = Blueprint("docs", __name__)
_markdown = MarkdownIt("commonmark", {"html": False})


@bp.get("/docs/api")
@bp.get("/docs")
def reference():
    page = render_template(
        "docs/reference.html",
        sections=content.SECTIONS,
        intro=content.INTRO,
        prose=prose,
        inline=inline,
        samples=samples,
        code=code,
    )
    return page, {"Cache-Control": "private, no-cache", "Link": '</llms.txt>; rel="describedby"'}


@bp.get("/docs/api.md")
@bp.get("/docs.md")
def reference_markdown():
    return text(markdown.write_reference(public_url()), "text/markdown")


@bp.get("/docs/compatibility")
def compatibility_table():
    page = render_template(
        "docs/compatibility.html",
        found=compatibility.load(),
        intro=compatibility.INTRO,
        legend=compatibility.LEGEND,
        words=compatibility.WORDS,
        prose=prose,
    )
    return page, {"Cache-Control": "private, no-cache", "Link": '</llms.txt>; rel="describedby"'}


@bp.get("/docs/compatibility.md")
def compatibility_markdown():
    return text(compatibility.write_markdown(public_url()), "text/markdown")


@bp.get("/llms.txt")
def llms():
    return text(markdown.write_index(public_url()), "text/plain")


def text(body: str, mime_type: str) -> Response:
    response = Response(body, content_type=f"{mime_type}; charset=utf-8")
    response.headers["Cache-Control"] = FOR_A_MINUTE
    return response


# ----------------------------------------------------------------------------- for the template


def prose(source: str) -> Markup:
    return _prose(source.replace("%BASE%", public_url()))


def inline(source: str) -> Markup:
    return _inline(source.replace("%BASE%", public_url()))


@lru_cache(maxsize=256)
def _prose(source: str) -> Markup:
    return Markup(_markdown.render(source))  # noqa: S704 - our own text, HTML switched off


@lru_cache(maxsize=256)
def _inline(source: str) -> Markup:
    return Markup(_markdown.renderInline(source))  # noqa: S704 - our own text, HTML switched off


def samples(block: content.Samples) -> list[Sample]:
    return [
        Sample(language, LABELS[language], coloured(source, language))
        for language, source in block.by_language.items()
    ]


def code(block: content.Code) -> Markup:
    return coloured(block.text, block.language)


def coloured(source: str, language: str) -> Markup:
    return highlight(source.replace("%BASE%", public_url()), language)


def public_url() -> str:
    return current_app.config["CONFIG"].public_url
