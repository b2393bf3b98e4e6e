"""Where a request is going: all that its writer has to know, and what has to be undone after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.losses import Losses
from gateway.reasoning import Memory
from gateway.tool_names import ToolNames


@dataclass(slots=True)
class Target:
    """One model at one provider, for one request.

    The first fields are facts. The last four are filled in by whoever writes the request, and acted
    on when the answer is read: `tool_names` gives callers their names back, `cut_at` are stop
    strings that the upstream can't mind, `unfences` takes a code fence off JSON, `streams` asks for
    a stream although the caller wants a whole answer.
    """

    provider: str
    upstream_model: str
    capabilities: frozenset[str]
    losses: Losses
    memory: Memory
    max_output: int | None = None
    quirks: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tool_names: ToolNames = field(default_factory=ToolNames)
    cut_at: list[str] = field(default_factory=list)
    unfences: bool = False
    streams: bool = False

    def can(self, capability: str) -> bool:
        return capability in self.capabilities

    def has(self, quirk: str) -> bool:
        return quirk in self.quirks
