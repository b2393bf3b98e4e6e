"""Source code as HTML with classes, coloured by our own style sheet; each text once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup
from pygments import highlight as pygments_highlight
from pygments.filter import Filter
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String, Text, _TokenType

# Only these carry colour; everything else stays plain, which halves the page.
COLOURED = (Comment, Keyword, Number, String, Name.Function, Name.Tag, Name.Builtin)
LEXERS = {
    "curl": "bash",
    "python": "python",
    "node": "javascript",
    "json": "json",
    "http": "text",
    "sse": "text",
    "text": "text",
    "env": "bash",
}

_formatter = HtmlFormatter(nowrap=True, classprefix="t-")


class FewColours(Filter):
    """Reduce tokens to the handful that the style sheet knows."""

    def filter(self, lexer: object, stream: Iterator[tuple[_TokenType, str]]):
        for kind, value in stream:
            yield next((c for c in COLOURED if kind in c), Text), value


@lru_cache(maxsize=256)
def highlight(code: str, language: str) -> Markup:
    """Never call it with a secret: results are kept."""
    lexer = get_lexer_by_name(LEXERS[language], stripnl=True)
    lexer.add_filter(FewColours())
    return Markup(pygments_highlight(code, lexer, _formatter).rstrip("\n"))  # noqa: S704 - escaped
