"""POST /images/generations."""

from blueprints.api import parse_object, read_body
from blueprints.relay import relay_images
from blueprints.v1 import bp
from gateway import images


@bp.post("/images/generations")
def generate_images():
    raw = read_body()
    body = parse_object(raw)
    images.check_request(body)
    return relay_images(raw, body)
