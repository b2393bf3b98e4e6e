"""The Gemini-compatible surface, `/api/v1beta`.

The newest Google SDKs call `/api/v1/models/MODEL:method`, so v1 hands such calls to the same
functions (`generate.call_method`).
"""

from flask import Blueprint

from blueprints.api import protect

bp = Blueprint("v1beta", __name__)
protect(bp)

from blueprints.v1beta import generate, models  # noqa: E402, F401  (they register their views)
