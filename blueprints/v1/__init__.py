"""The OpenAI-compatible surface, `/api/v1`."""

from flask import Blueprint

from blueprints.api import protect
from gateway.formats import openai

bp = Blueprint("v1", __name__)
protect(bp, openai.write_error)

from blueprints.v1 import chat, models  # noqa: E402, F401  (they register their views on bp)
