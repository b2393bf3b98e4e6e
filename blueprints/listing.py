"""Which models a key sees, on either surface."""

from __future__ import annotations

from blueprints.platform import Platform
from gateway.catalog import Model
from gateway.errors import model_not_found
from models.keys import KeySnapshot


def listed_models(platform: Platform, key: KeySnapshot) -> list[Model]:
    return [model for model in platform.catalog.models.values() if is_listed(platform, model, key)]


def listed_model(platform: Platform, key: KeySnapshot, model_id: str) -> Model:
    """A model that this key sees. Raises `model_not_found`."""
    model = platform.catalog.find(model_id)
    if model is None or not is_listed(platform, model, key):
        raise model_not_found(model_id[:200])
    return model


def is_listed(platform: Platform, model: Model, key: KeySnapshot) -> bool:
    """Test keys see everything; live keys what they may call and what a provider serves."""
    if key.mode == "test":
        return True
    is_allowed = key.models is None or model.id in key.models
    return is_allowed and platform.dispatcher.can_call(model)
