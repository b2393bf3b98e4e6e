"""Targets for tests of the formats: a model of the shipped catalog, as the dispatcher sees it."""

from __future__ import annotations

from functools import lru_cache

from gateway import catalog
from gateway.losses import Losses
from gateway.providers import ROWS
from gateway.reasoning import Memory, MemoryReasoningStore
from gateway.target import Target


@lru_cache
def shipped() -> catalog.Catalog:
    return catalog.build({})


def new_memory(user: str = "ada") -> Memory:
    return Memory(MemoryReasoningStore(), user, b"secret")


def target_for(
    model_id: str, *, is_strict: bool = False, memory: Memory | None = None, names=None
) -> Target:
    """Where a call for `model_id` goes; warnings are in `.losses.warnings()`."""
    model = shipped().find(model_id)
    assert model is not None, model_id
    place = model.deployments[0]
    return Target(
        provider=place.provider_name,
        upstream_model=place.upstream_model,
        capabilities=model.capabilities,
        losses=Losses(names or {}, is_strict=is_strict),
        memory=memory or new_memory(),
        max_output=model.max_output,
        quirks=ROWS[place.provider_name].quirks,
        defaults=place.defaults,
    )


def local_target(**changes) -> Target:
    """A compatible server that nobody knows anything about."""
    fields = {
        "provider": "local",
        "upstream_model": "m",
        "capabilities": catalog.ASSUMED,
        "losses": Losses({}),
        "memory": new_memory(),
        "quirks": ROWS["local"].quirks,
    }
    return Target(**(fields | changes))
