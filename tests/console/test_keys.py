"""API keys in the browser: shown once, rotated with an overlap, revoked, never anybody else's."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from blueprints.console import filters
from models import db, keys, utcnow
from models.audit import AuditEvent
from models.keys import ApiKey, KeySecret
from tests.console.conftest import form_fields, new_secret


def calls_with(browser, secret) -> int:
    """The status that the API gives to this key."""
    return browser.client.get(
        "/api/v1/models", headers={"Authorization": f"Bearer {secret}"}
    ).status_code


def test_a_new_key_is_shown_once_and_works(app, ada):
    assert "No API keys yet." in ada.get("/console/keys").text
    page = ada.send("/console/keys/new", name="backend", mode="live")
    secret = new_secret(page)
    assert page.status_code == 200 and page.headers["Cache-Control"] == "no-store"
    assert keys.is_well_formed(secret) and secret.startswith("sy_live_")
    assert page.text.count(secret) == 4, "once to copy, once in each sample"
    assert "You won’t be able to see it again." in page.text
    assert calls_with(ada, secret) == 200
    for path in ("/console/keys", f"/console/keys/{ada.key_ids()[0]}", "/console"):
        text = ada.get(path).text
        assert secret not in text
    masked = f"{secret[:12]}…{secret[-4:]}"
    assert masked in ada.get("/console/keys").text
    with ada.client.session_transaction() as cookie:
        assert secret not in str(dict(cookie))


def test_the_secret_is_kept_nowhere(app, ada):
    secret, _ = ada.create_key()
    with app.app_context():
        row = db.session.query(KeySecret).one()
        assert row.digest == keys.digest(secret, app.extensions["platform"].pepper)
        assert row.hint == secret[:12] and row.last4 == secret[-4:]
    from blueprints.console.highlight import highlight

    highlight.cache_clear()
    ada.create_key()
    assert highlight.cache_info().currsize == 3, "only the placeholder was highlighted"


def test_a_test_key(ada):
    secret, _ = ada.create_key(mode="test")
    assert secret.startswith("sy_test_")
    assert ">Test<" in ada.get("/console/keys").text


def test_the_form_preselects_what_works(app, ada, monkeypatch):
    platform = app.extensions["platform"]
    for providers, mode in (({}, "test"), ({"openai": object()}, "live")):
        catalog = dataclasses.replace(platform.catalog, providers=providers)
        monkeypatch.setattr(platform, "catalog", catalog)
        page = ada.get("/console/keys/new").text
        assert form_fields(page)["mode"] == mode
        assert ("No provider is connected yet" in page) == (mode == "test")


def test_pages_give_the_limits(app, ada):
    _, key_id = ada.create_key()
    shipped = "Free plan: 10 chat and 5 image requests a minute per key"
    assert shipped in ada.get("/console/keys").text
    assert shipped in ada.get(f"/console/keys/{key_id}").text
    with app.app_context():
        key = db.session.get(ApiKey, key_id)
        key.chat_rpm, key.user.chat_rpm = 20, 30
        db.session.commit()
    assert "30 chat and 5 image" in ada.get("/console/keys").text
    assert "20 chat and 5 image" in ada.get(f"/console/keys/{key_id}").text


@pytest.mark.parametrize(
    ("values", "status", "text"),
    [
        ({"name": " "}, 422, "Give the key a name"),
        ({"name": "x" * 51}, 422, "Use at most 50 characters."),
        ({"name": "ok", "mode": "other"}, 400, "Bad request"),
        ({"name": "ok", "form_token": "forged"}, 400, "Bad request"),
    ],
)
def test_a_wrong_form_makes_no_key(app, ada, values, status, text):
    answer = ada.send("/console/keys/new", **values)
    assert answer.status_code == status and text in answer.text
    assert ada.key_ids() == []


def test_reloading_the_answer_makes_no_second_key(ada):
    data = form_fields(ada.get("/console/keys/new").text) | {"name": "once"}
    assert ada.client.post("/console/keys/new", data=data).status_code == 200
    again = ada.client.post("/console/keys/new", data=data)
    assert again.status_code == 303
    assert "nothing was done a second time" in ada.get(again.location).text
    assert len(ada.key_ids()) == 1


def test_a_form_of_somebody_else_makes_no_key(ada, eve):
    token = form_fields(eve.get("/console/keys/new").text)["form_token"]
    assert ada.send("/console/keys/new", name="x", form_token=token).status_code == 400


def test_rotation_with_an_overlap(app, ada):
    old, key_id = ada.create_key()
    page = ada.send(f"/console/keys/{key_id}/rotate", grace="86400")
    new = new_secret(page)
    assert page.status_code == 200 and "keeps working until" in page.text
    assert calls_with(ada, old) == calls_with(ada, new) == 200
    assert "Rotating: old secret ends" in ada.get("/console/keys").text
    assert ada.key_ids() == [key_id]
    ended = ada.send(f"/console/keys/{key_id}", action=f"/console/keys/{key_id}/end-previous")
    assert ended.status_code == 303
    assert calls_with(ada, old) == 401 and calls_with(ada, new) == 200
    assert "Rotating" not in ada.get("/console/keys").text


def test_rotation_that_stops_the_old_secret_at_once(ada):
    old, key_id = ada.create_key()
    page = ada.send(f"/console/keys/{key_id}/rotate", grace="0")
    assert "has stopped working" in page.text
    assert calls_with(ada, old) == 401 and calls_with(ada, new_secret(page)) == 200


def test_reloading_the_answer_rotates_only_once(app, ada):
    _, key_id = ada.create_key()
    data = form_fields(ada.get(f"/console/keys/{key_id}/rotate").text) | {"grace": "86400"}
    first = ada.client.post(f"/console/keys/{key_id}/rotate", data=data)
    again = ada.client.post(f"/console/keys/{key_id}/rotate", data=data)
    assert (first.status_code, again.status_code) == (200, 303)
    assert calls_with(ada, new_secret(first)) == 200
    with app.app_context():
        assert db.session.query(KeySecret).count() == 2


def test_rotation_wants_a_choice(ada):
    _, key_id = ada.create_key()
    answer = ada.send(f"/console/keys/{key_id}/rotate", grace="99")
    assert answer.status_code == 422 and "Choose when" in answer.text


def test_revoking(app, ada):
    secret, key_id = ada.create_key("doomed")
    page = ada.get(f"/console/keys/{key_id}/revoke").text
    assert "It was never used." in page and "can’t be undone" in page and "Keep key" in page
    assert ada.send(f"/console/keys/{key_id}/revoke").location == "/console/keys"
    assert calls_with(ada, secret) == 401
    assert "Revoked" in ada.get("/console/keys").text
    assert ada.get(f"/console/keys/{key_id}/revoke").status_code == 303
    assert ada.get(f"/console/keys/{key_id}/rotate").status_code == 404
    with app.app_context():
        actions = [event.action for event in db.session.query(AuditEvent)]
    assert actions == ["user.signed_up", "key.created", "key.revoked"]


@pytest.mark.parametrize("page", ["", "/rotate", "/revoke"])
def test_keys_of_others_do_not_exist(app, ada, eve, page):
    secret, key_id = ada.create_key()
    assert eve.get(f"/console/keys/{key_id}{page}").status_code == 404
    token = form_fields(eve.get("/console/keys/new").text)["csrf_token"]
    for action in ("/rotate", "/revoke", "/end-previous"):
        answer = eve.client.post(
            f"/console/keys/{key_id}{action}", data={"csrf_token": token, "grace": "0"}
        )
        assert answer.status_code == 404
    assert calls_with(ada, secret) == 200
    assert eve.key_ids() == []


def test_a_hostile_name_is_only_text(ada):
    name = "<script>alert(1)</script>"
    page = ada.send("/console/keys/new", name=name)
    for text in (page.text, ada.get("/console/keys").text):
        assert name not in text and "&lt;script&gt;" in text


def test_the_key_page_tells_of_use_and_overlap(app, ada):
    _, key_id = ada.create_key()
    ada.send(f"/console/keys/{key_id}/rotate", grace="86400")
    with app.app_context():
        old = db.session.get(ApiKey, key_id).previous
        old.last_used_at, old.last_used_ip = utcnow() - timedelta(minutes=3), "203.0.113.7"
        db.session.commit()
    text = ada.get(f"/console/keys/{key_id}").text
    assert "3 minutes ago" in text and "203.0.113.7" in text and "End it now" in text


def test_times_in_a_sentence_are_lower_case():
    assert ">Just now<" in filters.ago(utcnow())
    assert ">just now<" in filters.ago(utcnow(), in_sentence=True)
