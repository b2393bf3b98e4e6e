"""POST /embeddings."""

from blueprints.api import parse_object, read_body
from blueprints.relay import relay_embeddings
from blueprints.v1 import bp
from gateway.formats.openai import embeddings


@bp.post("/embeddings")
def create_embeddings():
    raw = read_body()
    body = parse_object(raw)
    embeddings.check_request(body)
    return relay_embeddings(embeddings, "embeddings", raw, body)
