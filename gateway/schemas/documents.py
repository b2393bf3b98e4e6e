"""The schema being adapted: where its references lead, and what following them may cost.

An adapted schema refers to `#/$defs/NAME` only: the one place that every dialect knows. Whatever a
caller's reference points at moves there under a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from gateway.schemas.nodes import as_dict, is_plain_reference
from gateway.types import JSON
from gateway.validation import Problem

MAX_WORK = 30_000
"""How many schemas, properties and values may be read, with all references followed."""
MAX_DEPTH = 60

Pointer = tuple[str, ...]
Active = frozenset[Pointer]
"""The pointers whose content a schema is part of."""
ROOT: Active = frozenset({()})


@dataclass(slots=True)
class Document:
    """One schema on its way: `names` are the definitions it needs, `waiting` those not yet written.

    `lost` collects the keywords whose meaning does not survive.
    """

    root: JSON
    lost: set[str] = field(default_factory=set)
    work: int = 0
    names: dict[Pointer, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    waiting: list[Pointer] = field(default_factory=list)

    def spend(self, depth: int = 0, amount: int = 1) -> None:
        """Count work. Raises Problem when it is too much."""
        self.work += amount
        if self.work > MAX_WORK or depth > MAX_DEPTH:
            raise Problem(
                "invalid_value",
                "Invalid schema: it is too large or nests too deeply with its references followed.",
            )

    def find(self, reference: Any) -> tuple[Pointer, Any] | None:
        """What a reference means, followed through mere aliases; None if it leads nowhere."""
        seen: set[str] = set()
        while isinstance(reference, str) and reference not in seen:
            self.spend(amount=1 + len(reference) // 64)
            seen.add(reference)
            pointer = pointer_of(reference)
            node = None if pointer is None else self.at(pointer)
            if pointer is None or not isinstance(node, dict | bool):
                return None
            if isinstance(node, bool) or not is_plain_reference(node):
                return pointer, node
            reference = node["$ref"]
        return None

    def at(self, pointer: Pointer) -> Any:
        node: Any = self.root
        for step in pointer:
            if isinstance(node, list):
                index = int(step) if re.fullmatch(r"[0-9]{1,5}", step) else len(node)
                node = node[index] if index < len(node) else None
            else:
                node = as_dict(node).get(step)
        return node

    def address(self, pointer: Pointer) -> str:
        """The reference by which the adapted schema knows what a pointer means."""
        if pointer not in self.names:
            wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", pointer[-1]) or "_" if pointer else "root"
            name, number = wanted, len(self.names) + 1
            while name in self.taken:
                name, number = f"{wanted}_{number}", number + 1
            self.names[pointer] = name
            self.taken.add(name)
            self.waiting.append(pointer)
        return f"#/$defs/{self.names[pointer]}"

    def with_definitions(self, said: JSON, write: Callable[[Any, Active], Any]) -> JSON:
        """The adapted root with the definitions that it refers to, each written by `write`."""
        definitions: JSON = {}
        while self.waiting:
            pointer = self.waiting.pop()
            definitions[self.names[pointer]] = write(self.at(pointer), frozenset({pointer}))
        return {**said, "$defs": definitions} if definitions else said


def pointer_of(reference: str) -> Pointer | None:
    """The steps of a reference into the same document; None for any other."""
    if reference == "#":
        return ()
    if not reference.startswith("#/"):
        return None
    steps = unquote(reference[2:]).split("/")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
