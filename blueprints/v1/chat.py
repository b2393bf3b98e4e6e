"""POST /chat/completions."""

from blueprints.api import parse_object, read_body
from blueprints.relay import relay
from blueprints.v1 import bp
from gateway.formats import openai


@bp.post("/chat/completions")
def chat_completions():
    raw = read_body()
    body = parse_object(raw)
    openai.check_request(body)
    return relay(openai, "chat.completions", raw, body)
