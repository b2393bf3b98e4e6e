"""What a translated request can't say, and how its caller hears of it.

Content that the target can't take is refused; knobs that it lacks are dropped, clamped or emulated
and named in `x-gateway-warnings`, or refused for callers who ask for that (`x-gateway-strict`).
The policy and its classes: reference/translation.md 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidRequest

DEFAULTS: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "parallel_tool_calls": True,
}
"""What parameters are when nobody says anything: leaving such a value out loses nothing."""
MAX_HEADER = 900
"""Characters of all warnings together: proxies refuse long headers."""


class Losses:
    """Collects what one request lost. Parameters are fields of `ChatRequest` or wire names.

    `names` maps fields to the names that the caller used for them, as paths into the body.
    """

    __slots__ = ("_names", "_is_strict", "_found")

    def __init__(self, names: Mapping[str, str], *, is_strict: bool = False) -> None:
        self._names = names
        self._is_strict = is_strict
        self._found: dict[str, dict[str, None]] = {"dropped": {}, "clamped": {}, "emulated": {}}

    def rename(self, names: Mapping[str, str]) -> None:
        """Learn what this caller calls a parameter that has several names."""
        if names:
            self._names = {**self._names, **names}

    def drop(self, parameter: str) -> None:
        """The target has nothing like it. Raises `InvalidRequest` for a strict caller."""
        if self._is_strict:
            self.refuse(parameter)
        self._note("dropped", self._short(parameter))

    def leave_out(self, parameter: str, value: Any) -> None:
        """`drop`, unless the value is what the parameter means when nobody sets it."""
        if value != DEFAULTS.get(parameter):
            self.drop(parameter)

    def clamp(self, parameter: str, value: Any) -> None:
        """The target takes another value. Raises `InvalidRequest` for a strict caller."""
        if self._is_strict:
            raise InvalidRequest(
                f"Unsupported value: '{self.name(parameter)}' does not support this value with "
                f"this model. The nearest is {value}.",
                code="unsupported_value",
                param=self.name(parameter),
            )
        self._note("clamped", f"{self._short(parameter)}:{value}")

    def emulate(self, parameter: str) -> None:
        """The gateway does it instead. Raises `InvalidRequest` for a strict caller."""
        if self._is_strict:
            self.refuse(parameter)
        self._note("emulated", self._short(parameter))

    def refuse(self, parameter: str, why: str = "") -> None:
        """Raise `unsupported_parameter`: leaving it out would change what is answered."""
        name = self.name(parameter)
        raise InvalidRequest(
            f"Unsupported parameter: '{name}' is not supported with this model.{why and ' '}{why}",
            code="unsupported_parameter",
            param=name,
        )

    def name(self, parameter: str) -> str:
        """What the caller calls it."""
        return self._names.get(parameter, parameter)

    def warnings(self) -> list[str]:
        """The parts of the header, e.g. `dropped=seed,top_k`."""
        return [f"{kind}={','.join(found)}" for kind, found in self._found.items() if found]

    def _short(self, parameter: str) -> str:
        return self.name(parameter).rpartition(".")[2]

    def _note(self, kind: str, what: str) -> None:
        has_room = sum(map(len, self._found[kind])) + len(what) < MAX_HEADER // 3
        self._found[kind][header_safe(what) if has_room else "..."] = None


def header_safe(text: str) -> str:
    """A caller's own word as it may stand in a header: no control characters, nothing of ours."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-:[]$") else "_" for c in text)


def unsupported(message: str, where: str) -> InvalidRequest:
    """The refusal of content that a model can't take, naming its place in the body."""
    return InvalidRequest(message, code="unsupported_value", param=where or None)
