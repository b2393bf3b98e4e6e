"""Texts as vectors: what a request for embeddings and its answer are, whoever speaks.

The simulator's answers are made here, too: vectors that follow from the texts alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway import simulator
from gateway.errors import InvalidRequest
from gateway.types import JSON, Usage

Input = str | list[int]
"""A text, or the numbers of its tokens."""


@dataclass(slots=True)
class EmbeddingRequest:
    """One call for vectors. `inputs` are all texts or all token lists; None means: not said.

    `extra` holds, by format, what only that format can say. `names` are what the caller calls the
    fields `inputs` and `dimensions`, for messages.
    """

    model: str
    inputs: Sequence[Input]
    dimensions: int | None = None
    user: str | None = None
    extra: dict[str, JSON] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, parameter: str) -> str:
        """What the caller calls it."""
        return self.names.get(parameter, parameter)

    def foreign(self, format_: str) -> list[str]:
        """Names of what only other formats than this can say."""
        return [name for own, extra in self.extra.items() if own != format_ for name in extra]


@dataclass(slots=True)
class Embeddings:
    """The vectors, in the order of the inputs. `usage` None: the upstream didn't say."""

    vectors: list[Sequence[float]]
    usage: Usage | None = None
    model: str | None = None


def numbers(value: object) -> list[float]:
    """A vector as it came in JSON. Raises `ValueError` for anything but a list of numbers."""
    if type(value) is not list or not value or not set(map(type, value)) <= {int, float}:
        raise ValueError("an embedding is not a list of numbers")
    return value


def joined(parts: Iterable[Embeddings]) -> Embeddings:
    """The answers to parts of one request as one. Usage that one of them lacks is unknown."""
    whole = Embeddings([], Usage())
    for part in parts:
        whole.vectors += part.vectors
        whole.model = part.model or whole.model
        if part.usage is None or whole.usage is None:
            whole.usage = None
        else:
            whole.usage.input_tokens += part.usage.input_tokens
    return whole


# ----------------------------------------------------------------------------- the simulator

DIMENSIONS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "gemini-embedding-2": 3072,
    "gemini-embedding-001": 3072,
}
"""The length of each model's vectors, which is also the most that may be asked for."""
DEFAULT_DIMENSIONS = 768
MAX_DIMENSIONS = 4096
FIXED = frozenset({"text-embedding-ada-002"})
"""Models whose vectors have one length only."""


def simulate(
    request: EmbeddingRequest, context: int | None, pause: Callable[[], None]
) -> Embeddings:
    """The test mode's vectors. `pause` lets others work between two of them.

    Raises the error that a text rehearses, and `InvalidRequest` for what the model in whose place
    it stands would refuse.
    """
    dimensions = _dimensions(request)
    texts = [_text(item) for item in request.inputs]
    counts = [_count(item) for item in request.inputs]
    if context is not None and max(counts) > context:
        raise _too_long(request, context, max(counts))
    _rehearse(request, texts, sum(counts))
    vectors: list[Sequence[float]] = []
    for text in texts:
        vectors.append(array("f", simulator.embed(text, dimensions)))
        pause()
    return Embeddings(vectors, Usage(input_tokens=sum(counts)), request.model)


def _dimensions(request: EmbeddingRequest) -> int:
    most = DIMENSIONS.get(request.model)
    wanted = request.dimensions
    if wanted is None:
        return most or DEFAULT_DIMENSIONS
    name = request.name("dimensions")
    if request.model in FIXED:
        raise InvalidRequest(
            f"Unsupported parameter: '{name}' is not supported with this model.",
            code="unsupported_parameter",
            param=name,
        )
    if wanted > (most or MAX_DIMENSIONS):
        raise InvalidRequest(
            f"Invalid '{name}': integer above maximum value. "
            f"Expected a value <= {most or MAX_DIMENSIONS}, but got {wanted} instead.",
            code="integer_above_max_value",
            param=name,
        )
    return wanted


def _text(item: Input) -> str:
    return item if isinstance(item, str) else " ".join(map(str, item))


def _count(item: Input) -> int:
    return simulator.count_tokens(item) if isinstance(item, str) else len(item)


def _rehearse(request: EmbeddingRequest, texts: Iterable[str], tokens: int) -> None:
    try:
        for text in texts:
            simulator.rehearse(text, request.model, tokens)
    except InvalidRequest as error:
        error.param = request.name("inputs")
        raise


def _too_long(request: EmbeddingRequest, context: int, tokens: int) -> InvalidRequest:
    return InvalidRequest(
        f"This model's maximum context length is {context} tokens, however you requested {tokens} "
        "tokens. Please shorten the longest input.",
        code="context_length_exceeded",
        param=request.name("inputs"),
    )
