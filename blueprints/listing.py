"""Which models a key sees, on either surface."""

from __future__ import annotations

from blueprints.platform import Platform
from gateway.catalog import Model
from gateway.errors import model_not_found
from models.keys import KeySnapshot

SERVED_KINDS = ("chat", "image", "embedding")
"""Kinds of models that an endpoint of this release serves."""


def listed_models(platform: Platform, key: KeySnapshot) -> list[Model]:
    return [model for model in platform.catalog.models.values() if is_listed(platform, model, key)]


def listed_model(platform: Platform, key: KeySnapshot, model_id: str) -> Model:
    """A model that this key sees. Raises `model_not_found`."""
    model = platform.catalog.find(model_id)
    if model is None or not is_listed(platform, model, key):
        raise model_not_found(model_id[:200])
    return model


def is_listed(platform: Platform, model: Model, key: KeySnapshot) -> bool:
    """Test keys see all that is served; live keys what they may call and a provider serves."""
    if model.kind not in SERVED_KINDS:
        return False
    if key.mode == "test":
        return True
    is_allowed = key.models is None or model.id in key.models
    return is_allowed and platform.dispatcher.can_call(model)
