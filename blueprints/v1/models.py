"""GET /models and /models/ID: what the caller's key can use.

The newest Google SDKs come here too. On GET the credential decides the shape of the answer, and
`POST /models/MODEL:method` is always Google's (reference/gemini-wire.md 3.3).
"""

from __future__ import annotations

from typing import Any

from flask import current_app, g

from blueprints.api import is_google_call, json_response
from blueprints.listing import listed_model, listed_models
from blueprints.v1 import bp
from blueprints.v1beta.generate import call_method
from blueprints.v1beta.models import answer_list, answer_one
from gateway.catalog import Model


@bp.get("/models")
def list_models():
    if is_google_call():
        return answer_list()
    models = listed_models(current_app.extensions["platform"], g.key)
    return json_response({"object": "list", "data": [write_model(model) for model in models]})


@bp.get("/models/<path:model_id>")
def retrieve_model(model_id: str):
    if is_google_call():
        return answer_one(model_id)
    platform = current_app.extensions["platform"]
    return json_response(write_model(listed_model(platform, g.key, model_id)))


@bp.post("/models/<path:target>")
def call_google_method(target: str):
    return call_method(target)


def write_model(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "shutdown_date": model.retires.isoformat() if model.retires else None,
    }
