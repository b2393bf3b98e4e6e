"""Names and ids of tools as a provider takes them (reference/translation.md 9.1 and 9.2)."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

GOOD_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
"""An id of a tool call that every provider and client takes."""
PLAIN_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_NAME = 64


class ToolNames:
    """A map of tool names that loses none: names that the provider refuses get a stand-in.

    `fitting` is what the provider takes. The same name always gets the same stand-in.
    """

    __slots__ = ("_fitting", "_sent", "_own")

    def __init__(self, fitting: re.Pattern[str] = PLAIN_NAME) -> None:
        self._fitting = fitting
        self._sent: dict[str, str] = {}
        self._own: dict[str, str] = {}

    def sent(self, name: str) -> str:
        """The name to send for a tool of the caller."""
        if name not in self._sent:
            sent = name if self._fitting.fullmatch(name) else self._stand_in(name)
            if self._own.get(sent, name) != name:
                sent = self._stand_in(name)
            self._sent[name], self._own[sent] = sent, name
        return self._sent[name]

    def own(self, sent: str) -> str:
        """The caller's name for what the model called."""
        return self._own.get(sent, sent)

    @property
    def is_plain(self) -> bool:
        """Is every name sent as it is?"""
        return all(own == sent for own, sent in self._sent.items())

    def _stand_in(self, name: str) -> str:
        plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
        digest = sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        return f"t_{plain[: MAX_NAME - 11]}_{digest}"


def call_id(id_: str | None) -> str:
    """An upstream's id of a tool call where it is a good one, else a new one."""
    return id_ if id_ and GOOD_ID.fullmatch(id_) else new_call_id()


def new_call_id() -> str:
    return "call_" + secrets.token_hex(12)


def plain_id(id_: str) -> str:
    """An id from a caller's history as every provider takes it; the same one for the same id."""
    if GOOD_ID.fullmatch(id_):
        return id_
    return "call_" + sha256(id_.encode("utf-8", "replace")).hexdigest()[:24]
