"""How long and how visibly Claude thinks (reference/translation.md 9.6, anthropic-wire.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.efforts import effort_of, known_efforts, nearest
from gateway.target import Target
from gateway.types import JSON, ChatRequest

BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
"""Tokens of thinking for models that are told a number."""
MIN_BUDGET = 1024
DYNAMIC = -1


@dataclass(frozen=True, slots=True)
class Thinking:
    """The `thinking` of a body and the effort of its `output_config`, None to leave them out."""

    wire: JSON | None = None
    effort: str | None = None

    @property
    def is_on(self) -> bool:
        return self.wire is not None and self.wire["type"] in ("adaptive", "enabled")


def write_thinking(
    request: ChatRequest, target: Target, *, max_tokens: int, can_be_enabled: bool
) -> Thinking:
    """What the request says of thinking, as far as the model knows it.

    `can_be_enabled` False: a budget would be refused, for the choice of tools or the history.
    """
    wanted = _Wanted.of(request)
    if target.can("adaptive"):
        return _adaptive(wanted, request, target)
    if target.can("budget_thinking"):
        return _enabled(wanted, target, max_tokens, can_be_enabled)
    if wanted.says_something and not wanted.is_off:
        target.losses.drop(wanted.field)
    return Thinking()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the caller asked for, and the field that said so. An effort goes before a budget."""

    effort: str | None
    budget: int | None
    field: str

    @classmethod
    def of(cls, request: ChatRequest) -> _Wanted:
        if request.reasoning_effort is not None:
            return cls(request.reasoning_effort, None, "reasoning_effort")
        return cls(None, request.reasoning_budget, "reasoning_budget")

    @property
    def says_something(self) -> bool:
        return self.effort is not None or self.budget is not None

    @property
    def is_off(self) -> bool:
        return self.effort == "none" or self.budget == 0

    def as_effort(self) -> str | None:
        """None leaves it to the model."""
        return self.effort if self.budget is None else effort_of(self.budget)


def _adaptive(wanted: _Wanted, request: ChatRequest, target: Target) -> Thinking:
    if wanted.is_off:
        return _off(wanted, target)
    if not wanted.says_something and not request.shows_reasoning:
        return Thinking()
    return Thinking({"type": "adaptive", "display": "summarized"}, _effort(wanted, target))


def _off(wanted: _Wanted, target: Target) -> Thinking:
    if target.can("always_thinks"):
        target.losses.clamp(wanted.field, "low")
        return Thinking(effort="low")
    mode = "between_tools" if target.can("thinks_between_tools") else "disabled"
    return Thinking({"type": mode})


def _effort(wanted: _Wanted, target: Target) -> str | None:
    """The nearest that the model knows; `minimal` is its `low`, and a budget no promise."""
    effort = wanted.as_effort()
    if effort is None:
        return None
    known = known_efforts(target.capabilities) - {"none", "minimal"}
    found = nearest(effort, known)
    if found != effort and effort != "minimal" and wanted.effort is not None:
        target.losses.clamp(wanted.field, found)
    return found


def _enabled(wanted: _Wanted, target: Target, max_tokens: int, can_be_enabled: bool) -> Thinking:
    """Thinking with a budget, which counts into `max_tokens` and must be smaller."""
    budget = BUDGETS.get(wanted.effort or "", wanted.budget)
    if budget is None or budget == DYNAMIC or wanted.is_off:
        return Thinking()
    fitting = min(max(budget, MIN_BUDGET), max_tokens - 1)
    if fitting < MIN_BUDGET or not can_be_enabled:
        target.losses.drop(wanted.field)
        return Thinking()
    if wanted.budget is not None and fitting != budget:
        target.losses.clamp(wanted.field, fitting)
    return Thinking({"type": "enabled", "budget_tokens": fitting})
