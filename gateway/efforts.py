"""Reasoning efforts, from none to max, and which of them a model knows."""

from __future__ import annotations

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ALWAYS_KNOWN = frozenset({"low", "medium", "high"})


def known_efforts(capabilities: frozenset[str]) -> frozenset[str]:
    """The efforts of a model with these capabilities (`effort_none`, `effort_xhigh`, ...)."""
    return ALWAYS_KNOWN | {effort for effort in EFFORTS if f"effort_{effort}" in capabilities}


BUDGETS = ((0, "none"), (512, "minimal"), (2048, "low"), (12288, "medium"), (24576, "high"))
"""The most tokens of thinking that each effort stands for (reference/translation.md 9.6)."""


def effort_of(budget: int) -> str | None:
    """An effort for a number of thinking tokens; None leaves it to the model (-1)."""
    if budget < 0:
        return None
    return next((effort for most, effort in BUDGETS if budget <= most), "xhigh")


def nearest(effort: str, known: frozenset[str]) -> str:
    """The effort itself where it is known, else the next lower one, else the lowest."""
    place = EFFORTS.index(effort)
    lower = [name for name in EFFORTS[: place + 1] if name in known]
    return lower[-1] if lower else next(name for name in EFFORTS if name in known)
