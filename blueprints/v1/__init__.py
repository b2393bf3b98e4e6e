"""The OpenAI-compatible surface, `/api/v1`."""

from flask import Blueprint

from blueprints.api import protect

bp = Blueprint("v1", __name__)
protect(bp)

from blueprints.v1 import chat, embeddings, images, models  # noqa: E402, F401  (they register)
