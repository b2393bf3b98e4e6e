"""The Gemini-compatible surface, `/api/v1beta`."""

from flask import Blueprint

bp = Blueprint("v1beta", __name__)
