"""Which models a key sees, on either surface."""

from __future__ import annotations

from gateway.catalog import Catalog, Model
from gateway.dispatch import is_callable
from gateway.errors import model_not_found
from models.keys import KeySnapshot


def listed_models(catalog: Catalog, key: KeySnapshot) -> list[Model]:
    return [model for model in catalog.models.values() if is_listed(model, key)]


def listed_model(catalog: Catalog, key: KeySnapshot, model_id: str) -> Model:
    """A model that this key sees. Raises `model_not_found`."""
    model = catalog.find(model_id)
    if model is None or not is_listed(model, key):
        raise model_not_found(model_id[:200])
    return model


def is_listed(model: Model, key: KeySnapshot) -> bool:
    """Test keys see everything; live keys what they may call and what a provider serves."""
    if key.mode == "test":
        return True
    return is_callable(model) and (key.models is None or model.id in key.models)
