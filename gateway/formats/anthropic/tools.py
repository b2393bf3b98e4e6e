"""Tools and the choice among them (reference/translation.md 9.5, anthropic-wire.md 5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import schemas
from gateway.errors import InvalidRequest
from gateway.formats.anthropic.enforced import Enforced
from gateway.losses import Losses
from gateway.target import Target
from gateway.turns import Turn
from gateway.types import JSON, ChatRequest, Tool, ToolChoice
from gateway.validation import Problem

NO_INPUT: JSON = {"type": "object", "properties": {}}
MUST_CALL = "You must call at least one of the tools before you answer."


@dataclass(slots=True)
class Toolbox:
    """What a request says of tools. `instruction` is for the system text, where the model can't be
    forced otherwise; `is_forced` says that the wire forces a call."""

    tools: list[JSON] = field(default_factory=list)
    choice: JSON | None = None
    instruction: str | None = None
    is_forced: bool = False


def write_tools(
    request: ChatRequest, turns: list[Turn], target: Target, enforced: Enforced
) -> Toolbox:
    """Raises `InvalidRequest` for a model without tools, and for a choice that names none of them.

    To be called before any other name is sent: declared tools keep their names if anyone does.
    """
    if not request.tools:
        return _only_remembered(turns, target)
    if not target.can("tools"):
        target.losses.refuse("tools")
    choice = request.tool_choice or ToolChoice("auto")
    allowed = _allowed(request.tools, choice, target.losses)
    box = Toolbox([_write_tool(tool, request, target, enforced) for tool in allowed])
    _choose(box, choice, target)
    if request.parallel_tool_calls is False and choice.mode != "none":
        box.choice = {**(box.choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return box


def _only_remembered(turns: list[Turn], target: Target) -> Toolbox:
    """A history with calls needs their tools declared, which doesn't mean they may be called."""
    names = dict.fromkeys(call.name for turn in turns for call in turn.calls())
    if not names:
        return Toolbox()
    tools = [{"name": target.tool_names.sent(name), "input_schema": NO_INPUT} for name in names]
    return Toolbox(tools, {"type": "none"})


def _allowed(tools: list[Tool], choice: ToolChoice, losses: Losses) -> list[Tool]:
    """The tools that the choice leaves; all of them if it names none."""
    allowed = [tool for tool in tools if tool.name in choice.names] if choice.names else tools
    if not allowed:
        path = losses.name("tool_choice")
        raise InvalidRequest(f"Invalid value for '{path}': it names no given tool.", param=path)
    return allowed


def _choose(box: Toolbox, choice: ToolChoice, target: Target) -> None:
    if choice.mode == "none":
        box.choice = {"type": "none"}
    elif choice.mode == "required":
        name = box.tools[0]["name"] if len(choice.names) == 1 else None
        box.is_forced = target.can("forced_tools")
        if box.is_forced:
            box.choice = {"type": "tool", "name": name} if name else {"type": "any"}
        else:
            box.instruction = f"You must call the tool {name}." if name else MUST_CALL
            target.losses.emulate("tool_choice")


def _write_tool(tool: Tool, request: ChatRequest, target: Target, enforced: Enforced) -> JSON:
    wire: JSON = {"name": target.tool_names.sent(tool.name)}
    if tool.description:
        wire["description"] = tool.description
    try:
        wire["input_schema"] = schemas.for_anthropic_tool(tool.parameters).schema
    except Problem as problem:
        place = request.tools.index(tool)
        raise problem.within(place).within(target.losses.name("tools")).error() from None
    if tool.strict:
        schema = enforced.for_tool(wire["input_schema"])
        if schema is None:
            target.losses.drop("strict")
        else:
            wire |= {"input_schema": schema, "strict": True}
    return wire
