"""What Gemini's generateContent refuses, rule by rule; each cites its section of gemini-wire.

Bodies come in camelCase or snake_case, as Google takes them; `normal` makes them camelCase, and the
rules read only that. Messages name fields in snake_case, as Google does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes import gemini_schemas as schemas
from tests.fakes import signatures
from tests.fakes.gemini_schemas import camel, snake
from tests.fakes.play import JSON, Refusal
from tests.fakes.shapes import (
    Check,
    Mismatch,
    Path,
    anything,
    array,
    boolean,
    decode,
    later,
    mapping,
    mapping_of,
    picture_type,
    record,
)

STATUSES = {  # section 10
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument: the fake upstream refuses it"),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    402: ("FAILED_PRECONDITION", "Billing is not enabled for project org-canary."),
    403: ("PERMISSION_DENIED", "Your project org-canary has been denied access."),
    404: ("NOT_FOUND", "models/x is not found for API version v1beta"),
    405: ("UNIMPLEMENTED", "Method not allowed."),
    408: ("DEADLINE_EXCEEDED", "The request timed out."),
    409: ("ABORTED", "The operation was aborted."),
    413: ("INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
    429: (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    499: ("CANCELLED", "The operation was cancelled."),
    500: ("INTERNAL", "An internal error has occurred."),
    501: ("UNIMPLEMENTED", "Operation is not implemented."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    529: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}
RPC = "type.googleapis.com/google.rpc"
QUOTA: list[JSON] = [
    {
        "@type": f"{RPC}.QuotaFailure",
        "violations": [
            {
                "quotaMetric": "generativelanguage.googleapis.com/generate_requests",
                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
                "quotaDimensions": {"model": "x"},
                "quotaValue": "3",
            }
        ],
    },
    {"@type": f"{RPC}.RetryInfo", "retryDelay": "7s"},
]
BAD_KEY: list[JSON] = [
    {
        "@type": f"{RPC}.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
]


def error_body(status: int, message: str, details: list[JSON] | None = None) -> JSON:
    name = STATUSES.get(status, STATUSES[500])[0]
    error: JSON = {"code": status, "message": message, "status": name}
    return {"error": error | ({"details": details} if details else {})}


def refusal(status: int, message: str, details: list[JSON] | None = None) -> Refusal:
    return Refusal(status, message, error_body(status, message, details))


def bad(message: str) -> Refusal:
    return refusal(400, message)


def missing(field: str, what: str) -> Refusal:
    return bad(f"* GenerateContentRequest.{field}: {what}\n")


# ----------------------------------------------------------------------------- models (4.3)


@dataclass(frozen=True)
class Model:
    """What a model takes; `budgets` are values below the range and the range itself."""

    version: float
    levels: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()
    low: int = 0
    high: int = 0
    sampling: bool = True
    pictures: bool = False

    @property
    def is_three(self) -> bool:
        return self.version >= 3


LEVELS = ("LOW", "MEDIUM", "HIGH")
MINIMAL = ("MINIMAL", *LEVELS)
MODELS = (
    (r"gemini-2\.0-.*", Model(2.0)),
    (r"gemini-2\.5-pro.*", Model(2.5, (), (-1,), 128, 32768)),
    (r"gemini-2\.5-flash-lite.*", Model(2.5, (), (-1, 0), 512, 24576)),
    (r"gemini-2\.5-flash-image.*", Model(2.5, pictures=True)),
    (r"gemini-2\.5-flash.*", Model(2.5, (), (-1, 0), 0, 24576)),
    (r"gemini-3-pro-image.*", Model(3.0, LEVELS, pictures=True)),
    (r"gemini-3-pro.*", Model(3.0, ("LOW", "HIGH"))),
    (r"gemini-3\.1-flash(-lite)?-image.*", Model(3.1, MINIMAL, pictures=True)),
    (r"gemini-3\.1-pro.*|gemini-pro-latest", Model(3.1, LEVELS)),
    (r"gemini-3\.7-.*", Model(3.7, LEVELS)),
    (r"gemini-3\.(8|9)-.*|gemini-flash-latest", Model(3.8, LEVELS, sampling=False)),
    (r"gemini-3.*|gemini-flash-lite-latest", Model(3.5, MINIMAL)),
    (r"gemini-4-.*", Model(4.0, (*LEVELS, "XHIGH"), sampling=False)),
)
EMBEDDING = r"gemini-embedding-.*"


def model_of(name: str, method: str = "generateContent") -> Model:
    """The row of a model; 404 for what does not exist or has not this method."""
    found = next((row for pattern, row in MODELS if re.fullmatch(pattern, name)), None)
    embeds = method in ("embedContent", "batchEmbedContents")
    is_embedding = bool(re.fullmatch(EMBEDDING, name))
    if embeds != is_embedding or not (found or is_embedding):
        raise refusal(
            404,
            f"models/{name} is not found for API version v1beta, or is not supported for {method}. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    return found or Model(0)


# ----------------------------------------------------------------------------- spelling (5.1)

USER_DATA = frozenset(
    {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "partMetadata"}
)
FREE_NAMES = frozenset({"properties", "defs"})


def normal(value: Any) -> Any:
    """camelCase keys, no nulls, user data untouched; both spellings at once are refused."""
    if isinstance(value, list):
        return [normal(one) for one in value]
    if not isinstance(value, dict):
        return value
    found: JSON = {}
    for name, one in value.items():
        key = camel(name)
        if key in found:
            raise bad(
                f"Invalid JSON payload received. Duplicate field: '{snake(key)}' is set twice."
            )
        if one is not None:
            found[key] = _inner(key, one)
    return found


def _inner(key: str, value: Any) -> Any:
    if key in USER_DATA:
        return value
    if key in FREE_NAMES and isinstance(value, dict):
        return {name: normal(one) for name, one in value.items()}
    return normal(value)


# ----------------------------------------------------------------------------- shapes (4, 6)


def text(path: Path, value: Any) -> None:
    if not isinstance(value, str):
        raise Mismatch(path, "type", "TYPE_STRING", value)


def binary(path: Path, value: Any) -> None:
    """Either alphabet, with or without padding (5.3)."""
    text(path, value)
    if decode(value, url_safe=True) is None:
        raise Mismatch(path, "base64", "TYPE_BYTES", value)


def whole(path: Path, value: Any) -> None:
    """An int32 or int64; Google also reads digits in a string."""
    is_text = isinstance(value, str) and re.fullmatch(r"-?\d+", value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_text and not (is_number and value == int(value)):
        raise Mismatch(path, "type", "TYPE_INT32", value)


def real(path: Path, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Mismatch(path, "type", "TYPE_FLOAT", value)


def enum(kind: str, *values: str) -> Check:
    """By name in any case, or by number (5.2)."""

    def check(path: Path, value: Any) -> None:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        is_name = isinstance(value, str) and value.upper() in values
        if not is_name and not (is_number and 0 <= value <= len(values)):
            raise Mismatch(path, "type", f"type.googleapis.com/{kind}", value)

    return check


BLOB = record({"mimeType": text, "data": binary}, {"displayName": text})
FILE = record({"fileUri": text}, {"mimeType": text, "displayName": text})
CALL = record({}, {"id": text, "name": text, "args": mapping})
NESTED = record({}, {"inlineData": BLOB, "fileData": FILE})
RESPONSE = record(
    {},
    {
        "id": text,
        "name": text,
        "response": mapping,
        "parts": array(NESTED),
        "scheduling": text,
        "willContinue": boolean,
    },
)
DATA: dict[str, Check] = {
    "text": text,
    "inlineData": BLOB,
    "fileData": FILE,
    "functionCall": CALL,
    "functionResponse": RESPONSE,
    "executableCode": record({"code": text, "language": text}, {"id": text}),
    "codeExecutionResult": record({"outcome": text}, {"output": text, "id": text}),
    "toolCall": mapping,
    "toolResponse": mapping,
}
MODIFIERS: dict[str, Check] = {
    "thought": boolean,
    "thoughtSignature": binary,
    "videoMetadata": record({}, {"startOffset": text, "endOffset": text, "fps": real}),
    "mediaResolution": record({}, {"level": text}),
    "partMetadata": mapping,
    "mediaProcessing": anything,
}
PART = record({}, DATA | MODIFIERS)
CONTENT = record({}, {"role": text, "parts": array(PART)})
SCHEMA: Check = later(lambda: SCHEMA_FIELDS)
SCHEMA_FIELDS = record(
    {},
    {
        "type": enum("google.ai.generativelanguage.v1beta.Type", *schemas.TYPES),
        "nullable": boolean,
        "enum": array(text),
        "items": SCHEMA,
        "properties": mapping_of(SCHEMA),
        "required": array(text),
        "propertyOrdering": array(text),
        "anyOf": array(SCHEMA),
        "prefixItems": array(SCHEMA),
        "defs": mapping_of(SCHEMA),
        "example": anything,
        "default": anything,
        "minimum": real,
        "maximum": real,
    }
    | dict.fromkeys(("format", "title", "description", "pattern", "ref"), text)
    | dict.fromkeys(
        ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"), whole
    ),
)
DECLARATION = record(
    {},
    {
        "name": text,
        "description": text,
        "parameters": SCHEMA,
        "parametersJsonSchema": mapping,
        "response": mapping,
        "responseJsonSchema": mapping,
        "behavior": text,
    },
)
BUILT_IN = (
    "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps",
    "fileSearch", "computerUse",
)  # fmt: skip
TOOL = record(
    {},
    {"functionDeclarations": array(DECLARATION), "mcpServers": array(mapping)}
    | dict.fromkeys(BUILT_IN, mapping),
)
MODE = enum(
    "google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode",
    "AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED",
)  # fmt: skip
TOOL_CONFIG = record(
    {},
    {
        "functionCallingConfig": record({}, {"mode": MODE, "allowedFunctionNames": array(text)}),
        "retrievalConfig": mapping,
        "includeServerSideToolInvocations": boolean,
    },
)
CATEGORY = enum(
    "google.ai.generativelanguage.v1beta.HarmCategory",
    *(
        f"HARM_CATEGORY_{name}"
        for name in (
            "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT",
            "CIVIC_INTEGRITY", "JAILBREAK",
        )
    ),
)  # fmt: skip
THRESHOLD = enum(
    "google.ai.generativelanguage.v1beta.SafetySetting.HarmBlockThreshold",
    "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF",
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
)  # fmt: skip
LEVEL = enum(
    "google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel",
    "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH",
)  # fmt: skip
GENERATION = record(
    {},
    {
        "stopSequences": array(text),
        "responseSchema": SCHEMA,
        "responseJsonSchema": mapping,
        "responseModalities": array(
            enum("google.ai.generativelanguage.v1beta.Modality", "TEXT", "IMAGE", "AUDIO")
        ),
        "imageConfig": record({}, {"aspectRatio": text, "imageSize": text}),
        "thinkingConfig": record(
            {}, {"includeThoughts": boolean, "thinkingBudget": whole, "thinkingLevel": LEVEL}
        ),
        "speechConfig": mapping,
        "audioTranscriptionConfig": mapping,
        "mediaResolution": text,
        "responseMimeType": text,
        "responseLogprobs": boolean,
        "enableEnhancedCivicAnswers": boolean,
    }
    | dict.fromkeys(("candidateCount", "maxOutputTokens", "seed", "logprobs"), whole)
    | dict.fromkeys(("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty"), real),
)
BODY = record(
    {},
    {
        "contents": array(CONTENT),
        "systemInstruction": CONTENT,
        "tools": array(TOOL),
        "toolConfig": TOOL_CONFIG,
        "safetySettings": array(record({}, {"category": CATEGORY, "threshold": THRESHOLD})),
        "generationConfig": GENERATION,
        "cachedContent": text,
        "labels": mapping,
        "serviceTier": text,
        "store": boolean,
        "continuationToken": binary,
        "model": text,
    },
)
COUNT = record({}, {"contents": array(CONTENT), "generateContentRequest": BODY})
EMBED = record(
    {"content": CONTENT},
    {"model": text, "taskType": text, "title": text, "outputDimensionality": whole},
)
EMBED_MANY = record({"requests": array(EMBED)})


def worded(problem: Mismatch) -> str:
    """A mismatch in Google's words."""
    if problem.problem == "unknown":
        at = place_of(problem.path[:-1])
        where = f" at '{at}'" if at else ""
        return (
            f'Invalid JSON payload received. Unknown name "{problem.detail}"{where}: '
            "Cannot find field."
        )
    at, value = place_of(problem.path), str(problem.value)[:60]
    if problem.problem == "missing":
        return f"* GenerateContentRequest.{at}: required field is not set\n"
    reason = f'Base64 decoding failed for "{value}"' if problem.problem == "base64" else value
    kinds = {"object": "type.googleapis.com/google.protobuf.Struct", "boolean": "TYPE_BOOL"}
    kind = kinds.get(str(problem.detail), problem.detail)
    return f"Invalid value at '{at}' ({kind}), {reason}"


def place_of(path: Path) -> str:
    """`contents[0].parts[1].function_call`."""
    names = (f"[{step}]" if isinstance(step, int) else f".{snake(step)}" for step in path)
    return "".join(names).lstrip(".")


# ----------------------------------------------------------------------------- the rules


@dataclass(frozen=True)
class Asked:
    """A body of good shape with what the rules ask of it."""

    body: JSON
    model: Model
    name: str

    @property
    def contents(self) -> list[JSON]:
        contents: list[JSON] = self.body.get("contents", [])
        return contents

    @property
    def config(self) -> JSON:
        config: JSON = self.body.get("generationConfig", {})
        return config

    @property
    def thinking(self) -> JSON:
        thinking: JSON = self.config.get("thinkingConfig", {})
        return thinking

    @property
    def declarations(self) -> list[tuple[str, JSON]]:
        """Every declared function with its path."""
        return [
            (f"tools[{i}].function_declarations[{j}]", one)
            for i, tool in enumerate(self.body.get("tools", []))
            for j, one in enumerate(tool.get("functionDeclarations", []))
        ]

    def parts(self) -> Iterator[tuple[str, JSON]]:
        for i, content in enumerate(self.contents):
            for j, part in enumerate(content.get("parts", [])):
                yield f"contents[{i}].parts[{j}]", part


def parts_with(content: JSON, field: str) -> list[JSON]:
    return [part for part in content.get("parts", []) if field in part]


def check_contents(asked: Asked) -> None:
    """4, 4.1: something in everything."""
    if not asked.contents:
        raise missing("contents", "contents is not specified")
    for i, content in enumerate(asked.contents):
        if not content.get("parts"):
            raise missing(f"contents[{i}].parts", "contents.parts must not be empty.")
        if content.get("role", "user") not in ("user", "model", "function"):
            raise bad("Please use a valid role: user, model.")
    system = asked.body.get("systemInstruction")
    if system is not None:
        if not system.get("parts"):
            raise missing("system_instruction.parts", "must not be empty.")
        if any(not part.get("text") for part in system["parts"]):
            raise bad("Unable to submit request because system_instruction takes only text.")


def check_parts(asked: Asked) -> None:
    """4.2: exactly one data field; text that is there."""
    for path, part in asked.parts():
        data = [name for name in part if name in DATA]
        if not data:
            raise missing(
                f"{path}.data", "required oneof field 'data' must have one initialized field"
            )
        if len(data) > 1:
            raise bad(
                f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot "
                f"set '{data[1]}'"
            )
        if part.get("text") == "" and "thoughtSignature" not in part:
            raise bad("Unable to submit request because it must have a text parameter.")


READABLE = re.compile(
    r"image/(png|jpeg|webp|heic|heif)"
    r"|audio/(wav|x-wav|mp3|mpeg|mp4|aiff|aac|ogg|flac|webm|m4a)"
    r"|video/(mp4|mpeg|mov|quicktime|avi|x-flv|mpg|webm|wmv|3gpp)"
    r"|application/(pdf|json|x-javascript|x-python|rtf)"
    r"|text/(plain|html|css|csv|xml|rtf|javascript|markdown|md|x-python)"
)


def check_media(asked: Asked) -> None:
    """5.3, 4.2: types that are read, bytes that are what they are said to be."""
    for path, part in asked.parts():
        response = part.get("functionResponse", {})
        if response.get("parts") and not asked.model.is_three:
            raise bad("Multimodal function responses are not supported for this model.")
        for holder in (part, *response.get("parts", [])):
            if "inlineData" in holder:
                check_blob(path, holder["inlineData"])


def check_blob(path: str, blob: JSON) -> None:
    if not READABLE.fullmatch(blob["mimeType"]):
        raise bad(f"Unsupported MIME type: {blob['mimeType']}")
    data = decode(blob["data"], url_safe=True) or b""
    if not data:
        raise missing(f"{path}.inline_data.data", "must not be empty.")
    if blob["mimeType"].startswith("image/") and not READABLE.fullmatch(picture_type(data) or ""):
        raise bad("Unable to process input image. Please retry or report in the issue tracker.")
    if blob["mimeType"] == "application/pdf" and not data.startswith(b"%PDF-"):
        raise bad("The document has no pages.")


def check_names(asked: Asked) -> None:
    """Calls and results say which function; results hold an object."""
    for path, part in asked.parts():
        for field in ("functionCall", "functionResponse"):
            if field in part and not part[field].get("name"):
                raise missing(f"{path}.{snake(field)}.name", "Name cannot be empty.")
        if "functionResponse" in part and "response" not in part["functionResponse"]:
            raise missing(f"{path}.function_response.response", "required field is not set")


COUNT_MISMATCH = (
    "Please ensure that the number of function response parts is equal to the number of function "
    "call parts of the function call turn."
)


def check_turns(asked: Asked) -> None:
    """Calls follow a user or a result; all results of a turn come at once, alone, in one content."""
    before: JSON = {}
    for content in merged(asked.contents):
        calls = parts_with(before, "functionCall")
        results = parts_with(content, "functionResponse")
        if parts_with(content, "functionCall"):
            check_call_turn(before, content)
        if results and (not calls or content.get("role") == "model"):
            raise bad(
                "Please ensure that function response turn comes immediately after a function "
                "call turn."
            )
        if calls and (len(results) != len(calls) or len(results) != len(content["parts"])):
            raise bad(COUNT_MISMATCH)
        check_pairs(calls, results)
        before = content
    if parts_with(before, "functionCall"):
        raise bad(COUNT_MISMATCH)


def merged(contents: list[JSON]) -> list[JSON]:
    """Contents of the model in a row are one turn: its SDKs keep each chunk of a stream as one."""
    turns: list[JSON] = []
    for content in contents:
        if turns and content.get("role") == turns[-1].get("role") == "model":
            turns[-1] = {"role": "model", "parts": [*turns[-1]["parts"], *content["parts"]]}
        else:
            turns.append(content)
    return turns


def check_call_turn(before: JSON, content: JSON) -> None:
    if content.get("role") != "model" or before.get("role", "user") == "model" or not before:
        raise bad(
            "Please ensure that function call turn comes immediately after a user turn or after a "
            "function response turn."
        )


def check_pairs(calls: list[JSON], results: list[JSON]) -> None:
    """By id where there is one, else every name as often as it was called."""
    called = [part["functionCall"] for part in calls]
    answered = [part["functionResponse"] for part in results]
    if sorted(one["name"] for one in called) != sorted(one["name"] for one in answered):
        raise bad("Please ensure that function response names match the function call names.")
    names = {one["id"]: one["name"] for one in called if "id" in one}
    for one in answered:
        if "id" in one and names and names.get(one["id"]) != one["name"]:
            raise bad(f"Function response id {one['id']} does not match any function call id.")


NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")


def check_tools(asked: Asked) -> None:
    """6: names, one kind of parameters, sound schemas."""
    names = [one.get("name", "") for _, one in asked.declarations]
    for path, one in asked.declarations:
        if not NAME.fullmatch(one.get("name", "")):
            raise missing(
                f"{path}.name",
                "Invalid function name. Must start with a letter or an underscore. Must be "
                "alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes "
                "(-), with a maximum length of 128.",
            )
        if "parameters" in one and "parametersJsonSchema" in one:
            raise missing(path, "only one of parameters and parameters_json_schema may be set.")
        schemas.check_proto(one.get("parameters", {}), f"{path}.parameters", missing)
        schemas.check_json(
            one.get("parametersJsonSchema", {}), f"{path}.parameters_json_schema", missing
        )
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise bad(f"Duplicate function declaration found: {twice}")
    others = [tool for tool in asked.body.get("tools", []) if tool.keys() & set(BUILT_IN)]
    if others and names and not asked.model.is_three:
        raise bad("Built-in tools and Function Calling cannot be combined in the same request.")


def check_tool_config(asked: Asked) -> None:
    """6: forcing needs functions, and names that are declared."""
    config = asked.body.get("toolConfig", {}).get("functionCallingConfig")
    if config is None:
        return
    names = [one["name"] for _, one in asked.declarations]
    if not names:
        raise bad("Function calling config is set without function_declarations.")
    allowed = config.get("allowedFunctionNames", [])
    if allowed and str(config.get("mode", "")).upper() not in ("ANY", "VALIDATED", "2", "4"):
        raise bad("Allowed function names can only be set when the function calling mode is ANY.")
    if unknown := [name for name in allowed if name not in names]:
        raise bad(
            f"Invalid allowed_function_names: {', '.join(unknown)} not found in "
            "function_declarations."
        )


def check_thinking(asked: Asked) -> None:
    """4.3: a budget or a level, whichever the model knows, in its range."""
    level, budget = asked.thinking.get("thinkingLevel"), asked.thinking.get("thinkingBudget")
    if level is not None and budget is not None:
        raise bad("You can only set only one of thinking budget and thinking level.")
    if level is not None:
        check_level(asked, str(level).upper())
    if budget is not None:
        check_budget(asked, int(budget))
    if asked.thinking.get("includeThoughts") and budget == 0:
        raise bad("Include thoughts is only enabled when thinking is enabled.")


def check_level(asked: Asked, level: str) -> None:
    if not asked.model.levels:
        raise bad("Thinking level is not supported for this model.")
    if level not in asked.model.levels:
        raise bad(f"Thinking level {level} is not supported for this model.")


def check_budget(asked: Asked, budget: int) -> None:
    model = asked.model
    if model.is_three:
        if budget == 0:
            check_level(asked, "MINIMAL")
        return
    if not model.high:
        raise bad("Thinking is not supported for this model.")
    if budget == 0 and budget not in model.budgets:
        raise bad("Budget 0 is invalid. This model only works in thinking mode.")
    if budget not in model.budgets and not model.low <= budget <= model.high:
        raise bad(
            f"The thinking budget {budget} is invalid. Please choose a value between {model.low} "
            f"and {model.high}."
        )


RANGES = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "topK": (1, 1000),
    "candidateCount": (1, 8),
    "maxOutputTokens": (1, 1_048_576),
    "logprobs": (0, 20),
    "seed": (-(2**31), 2**31 - 1),
    "presencePenalty": (-2, 2),
    "frequencyPenalty": (-2, 2),
}


def check_numbers(asked: Asked) -> None:
    """4.3: ranges; what newer models no longer take."""
    for name, (low, high) in RANGES.items():
        if name in asked.config and not low <= float(asked.config[name]) <= high:
            raise missing(
                f"generation_config.{snake(name)}",
                f"{snake(name)} must be in the range [{low}, {high}].",
            )
    sampling = [name for name in ("temperature", "topP", "topK") if name in asked.config]
    if sampling and not asked.model.sampling:
        raise bad(f"{snake(sampling[0])} is not supported for this model.")
    if int(asked.config.get("candidateCount", 1)) > 1 and asked.model.is_three:
        raise bad("Multiple candidates is not enabled for this model")
    if "logprobs" in asked.config and not asked.config.get("responseLogprobs"):
        raise bad("logprobs can only be set when response_logprobs is true.")


def check_stop(asked: Asked) -> None:
    stops = asked.config.get("stopSequences", [])
    if len(stops) > 5:
        raise missing(
            "generation_config.stop_sequences", f"at most 5 stop sequences, got {len(stops)}."
        )
    if "" in stops:
        raise missing("generation_config.stop_sequences", "must not contain empty strings.")


MIME_TYPES = (
    "text/plain",
    "application/json",
    "application/xml",
    "application/yaml",
    "text/x.enum",
)


def check_response_format(asked: Asked) -> None:
    """4.3: one schema, with a mime type that wants one, and no tools beside it before 3."""
    config, mime = asked.config, asked.config.get("responseMimeType", "text/plain")
    if mime not in MIME_TYPES:
        raise missing(
            "generation_config.response_mime_type",
            "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, "
            "`application/yaml` and `text/x.enum`.",
        )
    given = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if len(given) > 1:
        raise missing(
            "generation_config", "only one of response_schema and response_json_schema may be set."
        )
    if given and mime not in ("application/json", "text/x.enum"):
        raise missing(
            f"generation_config.{snake(given[0])}",
            "only allowed for `application/json` and `text/x.enum` response mime types.",
        )
    schemas.check_proto(
        config.get("responseSchema", {}), "generation_config.response_schema", missing
    )
    schemas.check_json(
        config.get("responseJsonSchema", {}), "generation_config.response_json_schema", missing
    )
    if mime != "text/plain" and asked.declarations and not asked.model.is_three:
        raise bad(f"Function calling with a response mime type: '{mime}' is unsupported")


def check_modalities(asked: Asked) -> None:
    wanted = {str(one).upper() for one in asked.config.get("responseModalities", [])}
    if wanted - {"TEXT"} and not asked.model.pictures:
        raise bad(
            "This model does not support the requested response modalities: "
            + ",".join(sorted(wanted)).lower()
        )


# ----------------------------------------------------------------------------- signatures (7)

SENTINELS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")


def check_signatures(asked: Asked) -> None:
    """From 3 on: only issued ones, and one on the first call of every step of the current turn."""
    if not asked.model.is_three:
        return
    for _, part in asked.parts():
        if "thoughtSignature" in part and not is_issued(part):
            raise bad("Thought signature is not valid.")
    for content in merged(asked.contents[start_of_turn(asked.contents) :]):
        calls = parts_with(content, "functionCall")
        if calls and "thoughtSignature" not in calls[0]:
            raise bad(
                "Function call is missing a thought_signature in functionCall parts. This is "
                "required for tools to work correctly, and missing thought_signature may lead to "
                "degraded model performance. Additional data, function call "
                f"`default_api:{calls[0]['functionCall']['name']}`."
            )


def start_of_turn(contents: list[JSON]) -> int:
    """The current turn begins with the last content of the user that is no function result."""
    for i in range(len(contents) - 1, -1, -1):
        is_user = contents[i].get("role", "user") == "user"
        if is_user and not parts_with(contents[i], "functionResponse"):
            return i
    return 0


def is_issued(part: JSON) -> bool:
    """Ours and still on the part that it was made for, or one of the documented ways around."""
    signature = part["thoughtSignature"]
    plain = (decode(signature, url_safe=True) or b"").decode(errors="replace")
    if signature in SENTINELS or plain in SENTINELS:
        return True
    claims = signatures.read("gemini", signature, url_safe=True)
    call = part.get("functionCall")
    return claims is not None and claims["call"] == (call_digest(call) if call else "")


def call_digest(call: JSON) -> str:
    return signatures.digest([call["name"], call.get("args") or {}])


RULES: tuple[Callable[[Asked], None], ...] = (
    check_contents,
    check_parts,
    check_names,
    check_media,
    check_tools,
    check_tool_config,
    check_turns,
    check_numbers,
    check_stop,
    check_thinking,
    check_response_format,
    check_modalities,
    check_signatures,
)


def shaped(body: Any, shape: Check) -> JSON:
    """The body in camelCase, of this shape."""
    if not isinstance(body, dict):
        raise bad('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    found: JSON = normal(body)
    try:
        shape((), found)
    except Mismatch as problem:
        raise bad(worded(problem)) from None
    return found


def check_body(body: Any, model: str) -> JSON:
    """Raise `Refusal` for everything that the real service would refuse; else the camelCase body."""
    found = shaped(body, BODY)
    asked = Asked(found, model_of(model), model)
    if found.get("model", f"models/{model}") != f"models/{model}":
        raise bad(f"The model in the request body {found['model']} is not the one in the URL.")
    for rule in RULES:
        rule(asked)
    return found
