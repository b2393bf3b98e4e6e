"""What can be tried once more after a refusal (reference/translation.md 9.3 and 13.5)."""

from __future__ import annotations

import re

from gateway.formats.anthropic.messages import THOUGHTS
from gateway.types import JSON

THOUGHTS_REFUSED = re.compile(
    r"invalid `?(signature|data)`? in `?(redacted_)?thinking`? block|"
    r"`(redacted_)?thinking` blocks.*cannot be modified",
    re.IGNORECASE,
)
"""Newer models bind what they thought to all that came before it: a caller who changed any of that
could never go on otherwise."""


def mended(body: JSON, message: str) -> JSON | None:
    """The body to send after a 400 with this message; None if sending again is of no use."""
    if not THOUGHTS_REFUSED.search(message):
        return None
    messages = [_without_thoughts(one) for one in body["messages"]]
    if messages == body["messages"]:
        return None
    mended = {**body, "messages": messages}
    if body.get("thinking", {}).get("type") == "enabled":
        del mended["thinking"]  # a budget demands the thoughts before the last calls
    return mended


def _without_thoughts(message: JSON) -> JSON:
    content = [block for block in message["content"] if block["type"] not in THOUGHTS]
    return {**message, "content": content}
