"""Circles among the definitions of an adapted schema: refused, or loosened where one may stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.schemas.hints import MAX_HINT, with_hints
from gateway.schemas.nodes import as_dict, children, nodes
from gateway.types import JSON
from gateway.validation import Problem

Graph = Mapping[str, set[str]]


def refuse_recursion(schema: JSON) -> None:
    """Raise Problem for an adapted schema that refers to itself."""
    for name, targets in _circles(schema).items():
        if targets:
            raise Problem(
                "invalid_value",
                f"Invalid schema: '{name[:64]}' refers to itself, and this model's structured "
                "output cannot follow a recursive schema.",
            )


def loosen_recursion(schema: JSON, lost: set[str]) -> None:
    """Gemini follows a circle only through optional properties: make them so, in place."""
    for name, targets in _circles(schema).items():
        if targets:
            _loosen(schema["$defs"][name], targets, lost)


def _loosen(node: JSON, targets: set[str], lost: set[str]) -> None:
    """Make the properties optional that lead to one of the targets."""
    properties = as_dict(node.get("properties"))
    required = node.pop("required", [])
    leading = {name for name in required if _references(properties.get(name)) & targets}
    rest = [name for name in required if name not in leading]
    if rest:
        node["required"] = rest
    if leading:
        lost.add("required")
        names = ", ".join(f"`{name}`" for name in required if name in leading)
        node.update(with_hints(node, [f"Always give {names}."] if len(names) < MAX_HINT else []))
    inner = [own for keyword, own in children(node) if keyword != "properties"]
    for own in [*(properties.get(name) for name in rest), *inner]:
        if isinstance(own, dict):
            _loosen(own, targets, lost)


def _references(schema: Any) -> set[str]:
    """The names of the definitions that an adapted schema refers to."""
    found = (node.get("$ref") for node, _ in nodes(schema))
    return {reference.removeprefix("#/$defs/") for reference in found if reference}


def _circles(schema: JSON) -> dict[str, set[str]]:
    """For each definition those it refers to that lead back to it."""
    definitions = as_dict(schema.get("$defs"))
    graph = {name: _references(own) for name, own in definitions.items()}
    component = _components(graph)
    return {
        name: {target for target in targets if component[target] == component[name]}
        for name, targets in graph.items()
    }


def _components(graph: Graph) -> dict[str, int]:
    """A number per name; names that lead to each other share theirs (Kosaraju's way)."""
    back: dict[str, set[str]] = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in targets:
            back[target].add(name)
    order: list[str] = []
    seen: set[str] = set()
    for name in graph:
        order += _reached(name, graph, seen)
    component: dict[str, int] = {}
    seen = set()
    for number, name in enumerate(reversed(order)):
        component |= dict.fromkeys(_reached(name, back, seen), number)
    return component


def _reached(start: str, graph: Graph, seen: set[str]) -> list[str]:
    """The names that `start` leads to and nobody has seen, each after those that it leads to."""
    if start in seen:
        return []
    seen.add(start)
    order, path = [], [(start, iter(graph[start]))]
    while path:
        name, targets = path[-1]
        target = next((own for own in targets if own not in seen), None)
        if target is None:
            order.append(name)
            path.pop()
        else:
            seen.add(target)
            path.append((target, iter(graph[target])))
    return order
