"""The commands: what they print, and where."""

from __future__ import annotations

import json

import pytest

from models import accounts, db, keys
from models.usage import UsageRollup
from tests.console.conftest import PASSWORD, Browser
from tests.console.test_usage import store


@pytest.fixture
def flask(app):
    runner = app.test_cli_runner()

    def run(*arguments):
        return runner.invoke(args=arguments)

    return run


def test_create_a_user(app, flask):
    done = flask("user", "create", "Ada@Example.com", "--password", PASSWORD, "--plan", "pro")
    assert (done.exit_code, done.stdout) == (0, "")
    with app.app_context():
        user = accounts.find_user("ada@example.com")
        assert user.plan_id == "pro" and user.is_admin
    assert Browser(app).log_in().status_code == 303
    flask("user", "create", "eve@example.com", "--password", PASSWORD)
    flask("user", "create", "bob@example.com", "--password", PASSWORD, "--admin")
    with app.app_context():
        assert not accounts.find_user("eve@example.com").is_admin
        assert accounts.find_user("bob@example.com").is_admin


def test_without_a_terminal_a_password_is_made_up(app, flask):
    done = flask("user", "create", "ada@example.com")
    assert done.exit_code == 0
    assert Browser(app).log_in(password=done.stdout.strip()).status_code == 303


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("user", "create", "nonsense"), 1, "Enter an e-mail"),
        (("user", "create", "a@example.com", "--password", "short"), 1, "at least 12"),
        (("user", "create", "a@example.com", "--plan", "gold"), 2, "Invalid value for '--plan'"),
        (("user", "create"), 2, "Missing argument"),
        (("key", "create", "nobody@example.com"), 1, "There is no account for nobody@example.com."),
        (("key", "create", "nobody@example.com", "--mode", "x"), 2, "Invalid value for '--mode'"),
    ],
)
def test_mistakes(flask, arguments, code, text):
    done = flask(*arguments)
    assert done.exit_code == code and text in done.stderr and done.stdout == ""


def test_an_address_can_be_used_once(flask):
    flask("user", "create", "ada@example.com", "--password", PASSWORD)
    done = flask("user", "create", "ADA@example.com", "--password", PASSWORD)
    assert done.exit_code == 1 and "already" in done.stderr


def test_create_a_key(app, flask):
    flask("user", "create", "ada@example.com", "--password", PASSWORD)
    done = flask("key", "create", "ada@example.com", "--name", "ci", "--mode", "test")
    secret = done.stdout.splitlines()[-1]
    assert secret.startswith("sy_test_") and keys.is_well_formed(secret)
    assert secret not in done.stderr
    answer = app.test_client().get("/api/v1/models", headers={"x-api-key": secret})
    assert answer.status_code == 200
    live = flask("key", "create", "ada@example.com").stdout
    assert live.startswith("sy_live_")


def test_audit(app, flask):
    flask("user", "create", "ada@example.com", "--password", PASSWORD)
    store(app)
    done = flask("usage", "audit")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "records": 1,
        "rolled_up": 1,
        "open": 0,
        "spend_nano_usd": 2_500_000,
    }
    with app.app_context():
        db.session.query(UsageRollup).delete()
        db.session.commit()
    done = flask("usage", "audit")
    assert done.exit_code == 1 and json.loads(done.stdout)["rolled_up"] == 0
    assert "disagree" in done.stderr


def test_a_database_without_tables_is_explained(app, flask):
    with app.app_context():
        db.drop_all()
    done = flask("user", "create", "ada@example.com", "--password", PASSWORD)
    assert done.exit_code == 1 and "flask db upgrade" in done.stderr
    assert "Traceback" not in done.stderr
