"""What a translated answer still has to undergo on its way from the upstream to its writer.

Each step is a generator over events, put in only where the request asks for it: names of tools
back to the caller's, stop strings that the upstream could not mind, a code fence off JSON,
reasoning state kept for the next turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.reasoning import Memory, State
from gateway.target import Target
from gateway.tool_names import ToolNames
from gateway.types import (
    Event,
    Finish,
    Reasoning,
    ReasoningDelta,
    Silence,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageReport,
)

REMEMBERED_FORMATS = frozenset({"anthropic", "gemini"})
CHARACTERS_PER_TOKEN = 4


def finished(
    events: Iterator[Event],
    target: Target,
    *,
    choices: int,
    vendor: str | None,
    seals: bool,
    input_tokens: int = 0,
) -> Iterator[Event]:
    """The events of so many `choices` as the caller should get them.

    `input_tokens` is what the request is thought to be, for a stream that ends before it says so.

    `vendor` names whose reasoning state has to be kept, None for nobody's; `seals` says that it
    also travels in the signature of the first call.
    """
    if vendor is not None:
        events = remembered(events, vendor, target, seals=seals)
    if not target.tool_names.is_plain:
        events = renamed(events, target.tool_names)
    if target.unfences:
        events = unfenced(events)
    if target.cut_at:
        asked = input_tokens if target.streams else None
        events = cut(events, target.cut_at, choices, input_tokens=asked)
    return events


def renamed(events: Iterable[Event], names: ToolNames) -> Iterator[Event]:
    """The caller's own tool names in place of what was sent for them."""
    for event in events:
        if isinstance(event, ToolCallStart):
            event.name = names.own(event.name)
        yield event


# ----------------------------------------------------------------------------- reasoning state


@dataclass(slots=True)
class _Thoughts:
    """The blocks of reasoning before the first tool call, as they have to come back."""

    whole: list[Reasoning] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    is_open: bool = False

    def add(self, delta: ReasoningDelta) -> None:
        if delta.redacted is not None:
            self.close()
            self.whole.append(Reasoning("", redacted=delta.redacted))
            return
        self.is_open = True
        self.pieces.append(delta.text)
        if delta.signature is not None:
            self.close(delta.signature)

    def close(self, signature: str | None = None) -> None:
        if self.is_open:
            self.whole.append(Reasoning("".join(self.pieces), signature))
            self.pieces, self.is_open = [], False

    @property
    def has_any(self) -> bool:
        return self.is_open or bool(self.whole)

    def blocks(self) -> tuple[Reasoning, ...]:
        self.close()
        return tuple(self.whole)


def remembered(
    events: Iterable[Event], vendor: str, target: Target, *, seals: bool
) -> Iterator[Event]:
    """Keep what the model wants back with its first tool call, or with each that it signed.

    Blocks are kept when the answer ends: a model may think between its calls, and wants all of it.
    """
    thoughts = _Thoughts()
    first: ToolCallStart | None = None
    for event in events:
        if isinstance(event, ReasoningDelta) and event.choice == 0:
            thoughts.add(event)
        elif isinstance(event, ToolCallStart) and event.choice == 0:
            first = first or event
            if event.signature is not None:
                state = State(vendor, target.upstream_model, signature=event.signature)
                target.memory.remember(event.id, state)
        elif isinstance(event, Finish) and event.choice == 0 and first and thoughts.has_any:
            state = State(vendor, target.upstream_model, thoughts.blocks())
            _keep(first, state, target.memory, seals=seals)
        yield event


def _keep(call: ToolCallStart, state: State, memory: Memory, *, seals: bool) -> None:
    """Writers that show signatures hold calls until the finish: this one is not written yet."""
    if call.signature is not None:
        return
    memory.remember(call.id, state)
    if seals:
        call.signature = memory.seal(state)


# ----------------------------------------------------------------------------- stop strings


@dataclass(slots=True)
class _Cutter:
    """Holds back as much of a text as could still become a stop string."""

    stops: list[str]
    held: str = ""
    is_cut: bool = False
    said: int = 0

    def feed(self, text: str) -> str:
        """What may go out now."""
        text = self.held + text
        found = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:  # the first to be complete counts, however reads fell
            self.is_cut = True
            return self._out(text[: min(found)[1]], "")
        keep = max(
            (n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )
        return self._out(text[: len(text) - keep], text[len(text) - keep :])

    def _out(self, text: str, held: str) -> str:
        self.held = held
        self.said += len(text)
        return text


def cut(
    events: Iterator[Event], stops: list[str], choices: int = 1, *, input_tokens: int | None = 0
) -> Iterator[Event]:
    """Each of so many answers up to the first stop string in its text; then the upstream is let go.

    Reasoning and tool arguments are never searched. What a cut stream used is partly an estimate,
    from `input_tokens` where it did not say; None means that the answer is whole, its usage in it.
    """
    cutters: dict[int, _Cutter] = {}
    usage = Usage(input_tokens or 0)
    try:
        for event in events:
            if isinstance(event, Started):
                usage.input_tokens = event.input_tokens or usage.input_tokens
            if isinstance(event, UsageReport | Silence) or not hasattr(event, "choice"):
                yield event
                continue
            cutter = cutters.setdefault(event.choice, _Cutter(stops))
            if not cutter.is_cut:
                yield from _through(cutter, event)
            if sum(cutter.is_cut for cutter in cutters.values()) == choices:
                if input_tokens is None:
                    yield from (rest for rest in events if isinstance(rest, UsageReport))
                    return
                said = sum(c.said for c in cutters.values())
                usage.output_tokens = max(1, -(-said // CHARACTERS_PER_TOKEN))
                yield UsageReport(usage, is_estimate=True)
                return
    finally:
        events.close()  # type: ignore[attr-defined]  # a generator


def _through(cutter: _Cutter, event: Event) -> Iterator[Event]:
    match event:
        case TextDelta(text=text, choice=choice):
            if out := cutter.feed(text):
                yield TextDelta(out, choice)
            if cutter.is_cut:
                yield Finish("stop", choice)
        case Finish(choice=choice) | ToolCallStart(choice=choice):
            if cutter.held:
                yield TextDelta(cutter.held, choice)
                cutter.held = ""
            yield event
        case _:
            yield event


# ----------------------------------------------------------------------------- code fences

FENCE_OPEN = re.compile(r"\s*```[a-zA-Z]*[ \t\r]*\n")
FENCE_START = re.compile(r"\s*(`{0,2}|```[a-zA-Z]*[ \t\r]*)")
"""What may still become an opening fence."""
TAIL = 16
"""Characters that are held back at the end: a closing fence with some white space."""


@dataclass(slots=True)
class _Unfencer:
    held: str = ""
    is_decided: bool = False
    is_fenced: bool = False

    def feed(self, text: str) -> str:
        self.held += text
        if not self.is_decided:
            if FENCE_START.fullmatch(self.held):
                return ""
            self.is_decided = True
            opened = FENCE_OPEN.match(self.held)
            if opened:
                self.is_fenced, self.held = True, self.held[opened.end() :]
        keep = min(TAIL, len(self.held)) if self.is_fenced else 0
        out, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return out

    def end(self) -> str:
        text, self.held = self.held, ""
        return re.sub(r"\s*```\s*\Z", "", text) if self.is_fenced else text


def unfenced(events: Iterable[Event]) -> Iterator[Event]:
    """JSON without the code fence that models like to put around it."""
    unfencers: dict[int, _Unfencer] = {}
    for event in events:
        if isinstance(event, TextDelta):
            out = unfencers.setdefault(event.choice, _Unfencer()).feed(event.text)
            if out:
                yield TextDelta(out, event.choice)
            continue
        if isinstance(event, Finish | ToolCallStart | ToolCallDelta):
            rest = unfencers.pop(event.choice, _Unfencer()).end()
            if rest:
                yield TextDelta(rest, event.choice)
        yield event
