"""What a generateContent body may be (reference/gemini-wire.md 4 to 6)."""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidRequest
from gateway.types import JSON
from gateway.validation import (
    Problem,
    Rule,
    array,
    boolean,
    check_fields,
    decimal,
    integer,
    obj,
    one_of,
    string,
)

PART_KINDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
PART_FIELDS: dict[str, Rule] = {
    "text": string(),
    "inlineData": obj(
        {"mimeType": string(), "data": string(), "displayName": string()}, required=("data",)
    ),
    "fileData": obj({"fileUri": string(), "mimeType": string()}, required=("fileUri",)),
    "thought": boolean,
    "thoughtSignature": string(),
    "functionCall": obj({"id": string(), "name": string(), "args": obj({})}, required=("name",)),
    "functionResponse": obj(
        {
            "id": string(),
            "name": string(),
            "response": obj({}),
            "parts": array(obj({}), of="objects"),
        },
        required=("name",),
    ),
}


def _part(value: Any) -> None:
    obj(PART_FIELDS)(value)
    if not any(value.get(kind) is not None for kind in PART_KINDS):
        raise Problem(
            "invalid_value",
            f"Invalid value at '{{path}}': a part needs one of {', '.join(PART_KINDS[:5])}.",
        )


def enum(*names: str) -> Rule:
    """One of these names, in any case (5.2)."""
    rule = one_of(*names)

    def check(value: Any) -> None:
        rule(value.upper() if type(value) is str else value)

    return check


CONTENT_FIELDS: dict[str, Rule] = {
    "role": one_of("user", "model", "function", "system"),
    "parts": array(_part, of="objects"),
}
CONTENT = obj(CONTENT_FIELDS)
MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
LEVELS = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high", "XHIGH": "xhigh"}
GENERATION_FIELDS: dict[str, Rule] = {
    "temperature": decimal(0, 2),
    "topP": decimal(0, 1),
    "topK": decimal(0),
    "candidateCount": integer(1, 8),
    "maxOutputTokens": integer(1),
    "stopSequences": array(string(), of="strings", maximum=5),
    "presencePenalty": decimal(-2, 2),
    "frequencyPenalty": decimal(-2, 2),
    "seed": integer(),
    "responseLogprobs": boolean,
    "logprobs": integer(0, 20),
    "responseModalities": array(string(), of="strings"),
    "responseMimeType": string(),
    "responseSchema": obj({}),
    "responseJsonSchema": obj({}),
    "thinkingConfig": obj(
        {
            "thinkingBudget": integer(-1),
            "thinkingLevel": enum(*LEVELS, "THINKING_LEVEL_UNSPECIFIED"),
            "includeThoughts": boolean,
        }
    ),
}
DECLARATION = obj(
    {
        "name": string(max_length=128, allow_empty=False),
        "description": string(),
        "parameters": obj({}),
        "parametersJsonSchema": obj({}),
    },
    required=("name",),
)
BODY_FIELDS: dict[str, Rule] = {
    "contents": array(CONTENT, of="objects", minimum=1, maximum=4096),
    "tools": array(obj({"functionDeclarations": array(DECLARATION, of="objects")}), of="objects"),
    "toolConfig": obj(
        {
            "functionCallingConfig": obj(
                {
                    "mode": enum(*MODES, "MODE_UNSPECIFIED"),
                    "allowedFunctionNames": array(string(), of="strings"),
                }
            )
        }
    ),
    "generationConfig": obj(GENERATION_FIELDS),
    "safetySettings": array(obj({}), of="objects"),
}
KNOWN_FIELDS = frozenset(BODY_FIELDS) | {
    "systemInstruction",
    "cachedContent",
    "labels",
    "serviceTier",
    "store",
    "continuationToken",
    "model",
    "stream",
}
OUR_FIELDS = frozenset({"model", "stream", "joinsCalls"})
"""What our routes put into a body: the model of the path, and what is known of the caller."""


def check_request(body: JSON) -> None:
    """Raise `InvalidRequest` for a normalised body that no generateContent can mean."""
    try:
        check_fields(body, BODY_FIELDS, ("contents",))
        if body.get("systemInstruction") is not None:
            try:
                CONTENT(body["systemInstruction"])
            except Problem as problem:
                raise problem.within("systemInstruction") from None
    except Problem as problem:
        raise problem.error() from None
    thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    if thinking.get("thinkingBudget") is not None and thinking.get("thinkingLevel") is not None:
        raise InvalidRequest(
            "You can only set one of thinkingBudget and thinkingLevel.",
            param="generationConfig.thinkingConfig",
        )
    if body.get("cachedContent"):
        raise InvalidRequest(
            "cachedContent is not supported for this model.",
            code="unsupported_parameter",
            param="cachedContent",
        )


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in KNOWN_FIELDS and name not in OUR_FIELDS]
