"""A schema written in another dialect, keyword by keyword, by the dialect's table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.schemas.documents import ROOT, Active, Document
from gateway.schemas.hints import NEVER, hint, with_hints
from gateway.schemas.merging import laid_open, modern
from gateway.schemas.nodes import is_plain_reference, of_one_mind
from gateway.types import JSON


@dataclass(frozen=True, slots=True)
class Dialect:
    """What becomes of each keyword; one without a rule is dropped, with a hint where there is one.

    `prepare` sees a node before its rules, in the modern spelling; `finish` after them.
    """

    rules: Mapping[str, Rule]
    prepare: Callable[[JSON], JSON]
    finish: Callable[[Node], None]


@dataclass(slots=True)
class Rewrite:
    """One document on its way into one dialect."""

    document: Document
    dialect: Dialect

    def whole(self, root: JSON) -> JSON:
        """The adapted root, an object if it does not say, with the definitions that it needs."""
        said = self.node(root, 0, ROOT)
        if not said.keys() & {"type", "anyOf", "enum", "const"}:
            said = self.node({**root, "type": "object"}, 0, ROOT)
        return self.document.with_definitions(
            said, lambda schema, active: self.schema(schema, 1, active)
        )

    def schema(self, schema: Any, depth: int, active: Active) -> JSON:
        """One adapted schema, wherever it stands."""
        self.document.spend(depth)
        if not isinstance(schema, dict):
            return self.verdict(schema)
        if is_plain_reference(schema):
            return self.reference(schema["$ref"])
        return self.node(schema, depth, active)

    def verdict(self, schema: Any) -> JSON:
        """`true` takes anything; what `false` means can only be asked for."""
        if schema is not False:
            return {}
        self.document.lost.add("false")
        return {"description": NEVER}

    def reference(self, reference: str) -> JSON:
        found = self.document.find(reference)
        if found is None:
            self.document.lost.add("$ref")
            return {}
        return {"$ref": self.document.address(found[0])}

    def node(self, schema: JSON, depth: int, active: Active) -> JSON:
        given, active = laid_open(self.document, schema, active)
        node = Node(self, of_one_mind(self.dialect.prepare(modern(given))), depth, active)
        for keyword, value in node.given.items():
            self.dialect.rules.get(keyword, dropped)(node, keyword, value)
        self.dialect.finish(node)
        return with_hints(node.said, node.hints)


@dataclass(slots=True)
class Node:
    """One schema being written: `given` is the caller's, `said` the dialect's."""

    rewrite: Rewrite
    given: JSON
    depth: int
    active: Active
    said: JSON = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def child(self, schema: Any) -> JSON:
        return self.rewrite.schema(schema, self.depth + 1, self.active)

    def lose(self, keyword: str, value: Any = None) -> None:
        """Leave a keyword out; a value makes a hint, if there is a short one."""
        self.rewrite.document.lost.add(keyword)
        said = None if value is None and keyword != "default" else hint(keyword, value)
        if said:
            self.hints.append(said)


Rule = Callable[[Node, str, Any], None]


def dropped(node: Node, keyword: str, value: Any) -> None:
    """Leave it out and say so, unless it forbids nothing or is an extension."""
    if value is not False and not keyword.startswith("x-"):
        node.lose(keyword, value)
