"""Counting what a call used, and what that costs.

A cost is derived in one place, from usage and the price row that applied: integer nano-dollars,
rounded half-even once per record.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from gateway.catalog import Price
from gateway.errors import GatewayError
from gateway.types import FinishReason, Started, Usage, UsageReport

TOKENS_PER_PRICE = 1_000_000
BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Meter:
    """Collects what goes by. Times are `time.monotonic()` seconds.

    `is_done` says that the model's answer is complete, whatever follows it on the wire. `usage`
    stays None until the upstream said it; `frames` and `output_bytes` are what an estimate is made
    from when it never does.
    """

    usage: Usage | None = None
    is_estimate: bool = False
    input_tokens: int | None = None
    first_at: float | None = None
    upstream_model: str | None = None
    finish_reason: FinishReason | None = None
    frames: int = 0
    output_bytes: int = 0
    images: int = 0
    is_done: bool = False
    failed: str | None = None
    error: GatewayError | None = None
    warnings: list[str] = field(default_factory=list)

    def mark_first(self) -> None:
        if self.first_at is None:
            self.first_at = time.monotonic()

    def start(self, started: Started) -> None:
        self.upstream_model, self.input_tokens = started.model, started.input_tokens

    def count(self, report: UsageReport) -> None:
        self.usage, self.is_estimate = report.usage, report.is_estimate

    def final_usage(self, request_bytes: int) -> tuple[Usage, bool]:
        """The usage, and whether it is only an estimate."""
        if self.usage is not None or self.images:
            return self.usage or Usage(), self.is_estimate
        output = max(self.frames, -(-self.output_bytes // BYTES_PER_TOKEN))
        told = self.input_tokens
        return Usage(estimate_tokens(request_bytes) if told is None else told, output), True


def estimate_tokens(size: int) -> int:
    """A rough token count for `size` bytes of text, never 0."""
    return max(1, size // BYTES_PER_TOKEN)


def cost_nano_usd(usage: Usage, price: Price | None, images: int = 0) -> int:
    """What a call costs; 0 without a price. Token prices are nano-dollars per million.

    A model with a price per picture is billed by pictures alone.
    """
    if price is None:
        return 0
    if price.image:
        return images * price.image
    cached = usage.cached_tokens
    written = usage.cache_write_tokens
    fresh = max(0, usage.input_tokens - cached - written)
    total = (
        fresh * price.input
        + cached * price.cached_input
        + written * price.cache_write
        + usage.output_tokens * price.output
    )
    return divide_half_even(total, TOKENS_PER_PRICE)


def divide_half_even(number: int, divisor: int) -> int:
    """`number / divisor` to the nearest integer, ties to even."""
    quotient, remainder = divmod(number, divisor)
    twice = 2 * remainder
    return quotient + (twice > divisor or (twice == divisor and quotient % 2 == 1))


def format_usd(nano: int) -> str:
    """Nano-dollars as a decimal number of dollars without exponent, e.g. `0.000042`."""
    text = f"{nano // 10**9}.{nano % 10**9:09d}".rstrip("0")
    return text + "0" if text.endswith(".") else text
