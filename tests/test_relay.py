"""What relay.py promises when its own ground gives way: in process, with the simulator."""

import pytest

from gateway.journal import Journal
from models import db
from models.accounts import create_user
from models.keys import create_key
from models.plans import Plan
from models.usage import UsageRecord

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture
def ask(app, client):
    """Send a chat request with a test key."""
    with app.app_context():
        plan = db.session.get(Plan, "enterprise")
        user = create_user("ask@example.com", "x", plan=plan)
        _, secret = create_key(
            user, name="ask", mode="test", pepper=app.extensions["platform"].pepper
        )
        db.session.commit()

    def send(**extra):
        headers = {"Authorization": f"Bearer {secret}"}
        return client.post("/api/v1/chat/completions", json=CHAT | extra, headers=headers)

    return send


def disk_is_full(*_):
    raise OSError(28, "No space left on device")


def records(app):
    with app.app_context():
        app.extensions["platform"].recorder.flush()
        return [(r.status, r.outcome, r.admitted) for r in db.session.query(UsageRecord)]


def test_what_the_journal_cannot_take_is_not_admitted(app, ask, monkeypatch):
    monkeypatch.setattr(Journal, "_append", disk_is_full)
    response = ask()
    assert response.status_code == 503
    assert response.json["error"]["code"] == "overloaded"
    assert response.headers["Retry-After"]
    assert records(app) == [(503, "refused", False)]


def test_a_journal_that_fails_at_the_end_loses_neither_answer_nor_record(app, ask, monkeypatch):
    append = Journal._append

    def take_admissions_only(self, kind, entry):
        return append(self, kind, entry) if kind == "a" else disk_is_full()

    monkeypatch.setattr(Journal, "_append", take_admissions_only)
    assert ask().status_code == 200
    assert records(app) == [(200, "completed", True)]


def test_a_stream_that_is_closed_before_its_end_settles_as_cancelled(app, ask):
    response = ask(stream=True)
    chunks = response.iter_encoded()
    next(chunks)
    response.close()
    assert records(app) == [(200, "cancelled", True)]


def test_a_stream_that_is_read_settles_once(app, ask):
    response = ask(stream=True)
    assert response.data.endswith(b"data: [DONE]\n\n")
    response.close()
    assert records(app) == [(200, "completed", True)]
