"""Who may call what: every rule of the application, with no credential, a bad one, and each kind.

A new route fails here until it is guarded by its blueprint or named as public below.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError

import blueprints
from blueprints import key_cache
from blueprints.guards import require_api_key
from blueprints.key_cache import KeyCache
from gateway.errors import Unavailable
from models import db, utcnow
from models.accounts import User, create_user
from models.keys import (
    ApiKey,
    KeySecret,
    create_key,
    digest,
    mint_secret,
    revoke_key,
    rotate_key,
)
from models.plans import Plan

PUBLIC = {
    "static",
    "health.healthz",
    "health.readyz",
    "health.metrics",
    "pictures.picture",
    "console.site.home",
    "console.site.login",
    "console.site.start_session",
    "console.site.signup",
    "console.site.create_account",
    "console.site.theme",
    "console.docs.compatibility_markdown",
    "console.docs.compatibility_table",
    "console.docs.llms",
    "console.docs.reference",
    "console.docs.reference_markdown",
}
"""Endpoints that answer somebody without credentials; each for a reason that its page gives."""
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}
GOOGLE_BODY = {"contents": [{"parts": [{"text": "Hello!"}]}]}
V1 = "/api/v1/chat/completions"
V1BETA = "/api/v1beta/models/gpt-4o:generateContent"


def url_of(rule):
    """A URL that the rule matches."""
    return re.sub(r"<(int:)?[^>]+>", lambda found: "1" if found[1] else "x", rule.rule)


def answers_without_credentials(app):
    """(endpoint, method, status, location) of every rule, asked by nobody."""
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            response = client.open(url_of(rule), method=method)
            yield rule.endpoint, method, response.status_code, response.location or ""
            response.close()


def is_refusal(endpoint, status, location):
    if endpoint.startswith(("v1.", "v1beta.")):
        return status == 401
    return status in (302, 303) and location.startswith("/login")


def unguarded(app):
    return {
        endpoint
        for endpoint, _, status, location in answers_without_credentials(app)
        if not is_refusal(endpoint, status, location)
    }


def test_nobody_gets_further_than_the_public_pages(app):
    answers = list(answers_without_credentials(app))
    open_to_nobody = [
        (endpoint, method, status)
        for endpoint, method, status, location in answers
        if endpoint not in PUBLIC and not is_refusal(endpoint, status, location)
    ]
    # A form without its token is refused before the log-in is looked at.
    assert [answer for answer in open_to_nobody if answer[1:] != ("POST", 400)] == []
    assert [answer for answer in answers if answer[2] >= 500] == []


def test_the_list_of_public_pages_names_nothing_that_is_gone(app):
    assert {rule.endpoint for rule in app.url_map.iter_rules()} >= PUBLIC


def test_a_new_route_without_a_guard_is_found(app):
    app.add_url_rule("/secrets", "secrets", lambda: "42")
    assert "secrets" in unguarded(app) - PUBLIC


def test_each_api_blueprint_has_its_guard_exactly_once(app):
    for blueprint, prefix, guard in blueprints.TABLE:
        is_api = bool(prefix and prefix.startswith("/api/"))
        assert guard is (require_api_key if is_api else None)
        before = [f for fs in blueprint.before_request_funcs.values() for f in fs]
        assert before.count(require_api_key) == is_api, blueprint.name


def test_every_api_rule_belongs_to_a_guarded_blueprint(app):
    guarded = {blueprint.name for blueprint, _, guard in blueprints.TABLE if guard}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            assert rule.endpoint.partition(".")[0] in guarded, rule


# ----------------------------------------------------------------------------- keys


@pytest.fixture
def pepper(app):
    return app.extensions["platform"].pepper


@pytest.fixture
def user(app):
    with app.app_context():
        made = create_user("ada@example.com", "x", plan=db.session.get(Plan, "enterprise"))
        db.session.commit()
        # Views and the key cache end the session, so rows are named by their id between them.
        yield SimpleNamespace(id=made.id)


def change(row, id_, **values):
    """Alter a row behind everybody's back: no event, so the epoch stays."""
    db.session.execute(update(row).where(row.id == id_).values(**values))
    db.session.commit()


@pytest.fixture
def new_key(app, user, pepper):
    """`new_key(alter)` makes a key, lets `alter` change it, and returns its secret."""

    def make(alter=None, mode="test"):
        key, secret = create_key(user, name="k", mode=mode, pepper=pepper)
        if alter:
            alter(key)
        db.session.commit()
        return secret

    return make


def _expire(key):
    key.expires_at = key.created_at - timedelta(seconds=1)


def _pause(key):
    key.paused_at = key.created_at


def _mistyped(secret):
    return secret[:-1] + ("0" if secret[-1] != "0" else "1")


CASES = {
    "valid": (None, 200, None),
    "revoked": (revoke_key, 401, "revoked_api_key"),
    "expired": (_expire, 401, "expired_api_key"),
    "paused": (_pause, 401, "revoked_api_key"),
    "unknown": (lambda _: mint_secret("test"), 401, "invalid_api_key"),
    "malformed": ("not a key", 401, "invalid_api_key"),
    "mistyped": (_mistyped, 401, "invalid_api_key"),
    "of another server": ("sk-proj-1234567890", 401, "invalid_api_key"),
    "not ASCII": ("sy_test_ä漢", 401, "invalid_api_key"),
}
CARRIERS = {
    "bearer": lambda secret: ({"Authorization": f"Bearer {secret}"}, {}),
    "bearer in small letters": lambda secret: ({"authorization": f"bearer  {secret} "}, {}),
    "x-api-key": lambda secret: ({"x-api-key": secret}, {}),
    "x-goog-api-key": lambda secret: ({"x-goog-api-key": secret}, {}),
    "?key=": lambda secret: ({}, {"key": secret}),
}
SURFACES = {"v1": (V1, BODY), "v1beta": (V1BETA, GOOGLE_BODY)}


@pytest.fixture
def secret_for(new_key):
    def secret(name):
        how = CASES[name][0]
        if isinstance(how, str):
            return how
        if name in ("unknown", "mistyped"):
            return how(new_key())
        return new_key(how)

    return secret


def ask(client, surface, headers=None, query=None):
    path, body = SURFACES[surface]
    return client.post(path, json=body, headers=headers or {}, query_string=query or {})


def code_of(response, surface):
    """The code of an error of either surface, None of an answer."""
    if response.status_code == 200:
        return None
    error = response.get_json()["error"]
    if surface == "v1":
        return error["code"]
    assert error["code"] == response.status_code and error["status"] and error["message"]
    return error["status"]


@pytest.mark.parametrize("name", CASES)
def test_all_carriers_decide_alike(client, secret_for, name):
    secret = secret_for(name)
    _, status, code = CASES[name]
    for surface, (carrier, carry) in itertools.product(SURFACES, CARRIERS.items()):
        if name == "not ASCII" and carrier != "?key=":
            continue  # a header value of latin-1 octets is another text altogether
        headers, query = carry(secret)
        response = ask(client, surface, headers, query)
        assert response.status_code == status, (surface, carrier, response.text)
        expected = code if surface == "v1" else code and "UNAUTHENTICATED"
        assert code_of(response, surface) == expected, (surface, carrier)
        assert secret not in response.text


def test_octets_that_are_no_key_are_refused_politely(client):
    response = client.post(
        V1, json=BODY, environ_overrides={"HTTP_AUTHORIZATION": "Bearer sy_test_\xff\xfe\x00"}
    )
    assert response.status_code == 401
    assert response.get_json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("headers", [
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
    {"Authorization": "Basic YTpi"}, {"x-api-key": ""}, {"Authorization": "sy_test_x"},
])  # fmt: skip
def test_no_credential_is_missing_api_key(client, surface, headers):
    response = ask(client, surface, headers)
    assert response.status_code == 401
    if surface == "v1":
        error = response.get_json()["error"]
        assert (error["code"], error["type"]) == ("missing_api_key", "authentication_error")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(
    ["bearer", "x-api-key", "x-goog-api-key", "?key="], 2)))  # fmt: skip
def test_two_credentials_must_agree(client, new_key, surface, one, other):
    first, second = new_key(), new_key()
    for secret, expected in ((first, 200), (second, 400)):
        headers, query = CARRIERS[one](first)
        more_headers, more_query = CARRIERS[other](secret)
        response = ask(client, surface, headers | more_headers, query | more_query)
        assert response.status_code == expected, response.text
    if surface == "v1":
        error = response.get_json()["error"]
        assert (error["type"], error["code"]) == (
            "invalid_request_error",
            "conflicting_credentials",
        )
    else:
        assert response.get_json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("surface", SURFACES)
def test_two_query_keys_must_agree(client, new_key, surface):
    response = ask(client, surface, query={"key": [new_key(), new_key()]})
    assert response.status_code == 400


def test_a_rotated_secret_works_until_its_grace_ends(app, client, user, pepper):
    key, old = create_key(user, name="k", mode="test", pepper=pepper)
    new = rotate_key(key, grace=timedelta(hours=1), pepper=pepper)
    old_id = key.previous.id
    db.session.commit()
    for secret in (old, new):
        assert ask(client, "v1", {"x-api-key": secret}).status_code == 200
    change(KeySecret, old_id, ends_at=utcnow())
    app.extensions["platform"].keys.forget_all()
    refused = ask(client, "v1", {"x-api-key": old})
    assert (refused.status_code, code_of(refused, "v1")) == (401, "revoked_api_key")
    assert ask(client, "v1", {"x-api-key": new}).status_code == 200


# ----------------------------------------------------------------------------- rights


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("column", ["api_access", "suspended_at"])
def test_disabled_access_is_403_for_every_mode(client, user, new_key, surface, column):
    change(User, user.id, **{column: utcnow() if column == "suspended_at" else False})
    for mode in ("live", "test"):
        response = ask(client, surface, {"x-api-key": new_key(mode=mode)})
        assert response.status_code == 403
        if surface == "v1":
            error = response.get_json()["error"]
            assert (error["type"], error["code"]) == ("permission_error", "api_access_disabled")
        else:
            assert response.get_json()["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(("model", "status"), [("gpt-4o-mini", 200), ("gpt-4o", 403)])
def test_a_key_may_use_its_models_only(client, new_key, model, status):
    def limit(key):
        key.models = ["gpt-4o-mini"]

    response = client.post(V1, json={**BODY, "model": model}, headers={"x-api-key": new_key(limit)})
    assert response.status_code == status
    assert code_of(response, "v1") == ("model_not_allowed" if status == 403 else None)


@pytest.mark.parametrize("surface", SURFACES)
def test_without_a_provider_a_test_key_is_answered_and_a_live_key_told_why(
    client, new_key, surface
):
    assert ask(client, surface, {"x-api-key": new_key(mode="test")}).status_code == 200
    response = ask(client, surface, {"x-api-key": new_key(mode="live")})
    assert response.status_code == 503
    assert "OPENAI_API_KEY" in response.get_json()["error"]["message"]
    assert int(response.headers["Retry-After"]) >= 1
    if surface == "v1":
        assert code_of(response, "v1") == "provider_not_configured"


# ----------------------------------------------------------------------------- the key cache


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def cache(app, pepper):
    clock = Clock()
    made = KeyCache(pepper, clock)
    made.clock = clock
    return made


def fail(*_arguments):
    raise OperationalError("SELECT", {}, Exception("the database is away"))


@pytest.fixture
def broken_database(app):
    """`broken_database()` makes every statement fail from now on, as a database that is away."""
    with app.app_context():
        engine = db.engine
    yield lambda: event.listen(engine, "before_cursor_execute", fail)
    if event.contains(engine, "before_cursor_execute", fail):
        event.remove(engine, "before_cursor_execute", fail)


def test_a_known_key_goes_on_for_a_minute_without_database(cache, new_key, broken_database):
    known, strange = new_key(), new_key()
    assert cache.find(known).mode == "test"
    broken_database()
    for seconds in (4, 20, 59):
        cache.clock.now = 1000.0 + seconds
        assert cache.find(known) is not None
    with pytest.raises(Unavailable) as caught:
        cache.find(strange)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert caught.value.retry_after >= 1
    cache.clock.now = 1061.0
    with pytest.raises(Unavailable):
        cache.find(known)


def test_the_api_serves_known_keys_without_database(client, new_key, broken_database, app):
    known, strange = new_key(), new_key()
    assert ask(client, "v1", {"x-api-key": known}).status_code == 200
    broken_database()
    app.extensions["platform"].keys.forget_all()
    assert ask(client, "v1", {"x-api-key": known}).status_code == 200
    refused = ask(client, "v1", {"x-api-key": strange})
    assert (refused.status_code, code_of(refused, "v1")) == (503, "overloaded")
    assert ask(client, "v1", {"x-api-key": "not a key"}).status_code == 401


def test_bad_secrets_never_reach_the_database(cache, broken_database, new_key):
    wrong = _mistyped(new_key())
    broken_database()
    for secret in (wrong, "", "sy_test_", "x" * 100_000, "sy_test_" + "0" * 36, "漢" * 44):
        assert cache.find(secret) is None


def test_an_unknown_key_is_asked_for_once_a_second(cache, app, user, pepper):
    secret = mint_secret("test")
    assert cache.find(secret) is None
    key, _ = create_key(user, name="k", mode="test", pepper=pepper)
    key.secret.digest = digest(secret, pepper)
    db.session.commit()
    assert cache.find(secret) is None
    cache.clock.now += 1.01
    assert cache.find(secret) is not None


def test_a_change_is_seen_when_the_epoch_moves_and_after_5_s_at_the_latest(cache, user, pepper):
    key, secret = create_key(user, name="k", mode="test", pepper=pepper)
    key_id = key.id
    db.session.commit()
    cache.follow_epoch(1)
    assert cache.find(secret).revoked_at is None
    change(ApiKey, key_id, revoked_at=utcnow())
    cache.follow_epoch(1)
    assert cache.find(secret).revoked_at is None
    cache.follow_epoch(2)
    assert cache.find(secret).revoked_at is not None
    change(ApiKey, key_id, revoked_at=None)
    assert cache.find(secret).revoked_at is not None
    cache.clock.now += 5.01
    assert cache.find(secret).revoked_at is None


def test_a_flood_of_unknown_keys_does_not_push_out_known_ones(cache, new_key, monkeypatch):
    monkeypatch.setattr(key_cache, "MAX_ENTRIES", 10)
    known = new_key()
    cache.find(known)
    for _ in range(30):
        cache.find(mint_secret("test"))
    assert len(cache._unknown) == 10
    assert len(cache._known) == 1


def test_a_snapshot_cannot_be_changed(cache, new_key):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cache.find(new_key()).mode = "live"
