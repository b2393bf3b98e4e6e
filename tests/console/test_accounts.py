"""Sign-up, log-in, log-out, sessions, and what keeps strangers out."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from blueprints.console.throttle import FailureLog
from models import accounts, db, utcnow
from models.accounts import Invite, UserSession
from tests.console.conftest import PASSWORD, Browser


def user(app, email="ada@example.com"):
    with app.app_context():
        return accounts.find_user(email)


def age_session(app, **changes):
    with app.app_context():
        for row in db.session.query(UserSession):
            for name, value in changes.items():
                setattr(row, name, value)
        db.session.commit()


# ----------------------------------------------------------------------------- sign-up


def test_first_account_is_the_operator_and_logged_in(app, browser):
    assert "will run the server" in browser.get("/signup").text
    answer = browser.sign_up("Ada@Example.com ")
    assert (answer.status_code, answer.location) == (303, "/console")
    assert browser.get("/console").status_code == 200
    assert user(app).is_admin and user(app).verified_at
    assert user(app).password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_second_account_is_a_developer_on_the_free_plan(app, eve):
    assert not user(app, "eve@example.com").is_admin
    assert user(app, "eve@example.com").plan_id == "free"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"email": "nonsense"}, "Enter an e-mail address"),
        ({"email": ""}, "Enter an e-mail address"),
        ({"email": "a@b@c"}, "Enter an e-mail address"),
        ({"password": "elevenchars"}, "Use at least 12 characters."),
        ({"password": "ä" * 65}, "Use at most 128 bytes."),
        ({"name": "x" * 81}, "Use at most 80 characters."),
    ],
)
def test_signup_names_what_is_wrong(app, browser, changes, text):
    answer = browser.sign_up(**changes)
    assert answer.status_code == 422
    assert text in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "<title>Error: " in answer.text
    assert PASSWORD not in answer.text
    with app.app_context():
        assert accounts.count_users() == 0


def test_signup_with_a_taken_address_points_to_the_login(app, ada):
    answer = Browser(app).sign_up("ADA@example.com")
    assert answer.status_code == 422
    assert "exists already" in answer.text


def test_form_values_come_back_escaped(browser):
    answer = browser.sign_up('"><script>alert(1)</script>', name="<b>")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_closed_signup_lets_only_the_first_one_in(app, browser, configure):
    configure(signup="closed")
    assert browser.sign_up().status_code == 303
    other = Browser(app)
    assert "closed on this server" in other.get("/signup").text
    other.get("/login")
    token = {"csrf_token": csrf_of(other)}
    answer = other.client.post(
        "/signup", data=token | {"email": "eve@example.com", "password": PASSWORD}
    )
    assert answer.status_code == 403
    assert user(app, "eve@example.com") is None


def csrf_of(browser) -> str:
    from tests.console.conftest import form_fields

    return form_fields(browser.get("/login").text)["csrf_token"]


def test_an_invitation_opens_signup_once(app, ada, configure):
    configure(signup="invite")
    with app.app_context():
        db.session.add(
            Invite(
                token_hash=hashlib.sha256(b"welcome").digest(),
                plan_id="pro",
                email="eve@example.com",
                expires_at=utcnow() + timedelta(days=1),
            )
        )
        db.session.commit()
    assert "need an invitation" in Browser(app).get("/signup").text
    guest = Browser(app)
    wrong = guest.send("/signup?invite=welcome", email="x@example.com", password=PASSWORD)
    assert "for another e-mail" in wrong.text
    answer = guest.send("/signup?invite=welcome", email="eve@example.com", password=PASSWORD)
    assert answer.status_code == 303
    assert user(app, "eve@example.com").plan_id == "pro"
    assert "need an invitation" in Browser(app).get("/signup?invite=welcome").text


# ----------------------------------------------------------------------------- log-in


def test_login_and_logout(app, ada):
    with ada.client.session_transaction() as cookie:
        stolen = dict(cookie)
    assert ada.log_out().location == "/"
    assert ada.get("/console").location == "/login?next=/console"
    with ada.client.session_transaction() as cookie:
        cookie.update(stolen)
    assert ada.get("/console").status_code == 303, "a token outlived its log-out"
    assert ada.log_in().location == "/console"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("", ""),
        ("ada@example.com", "x" * 5000),
    ],
)
def test_login_says_the_same_whatever_is_wrong(app, ada, email, password):
    answer = Browser(app).log_in(email, password)
    assert answer.status_code == 422
    assert "That e-mail and password don’t match." in answer.text


def test_a_suspended_user_is_out(app, ada):
    with app.app_context():
        accounts.find_user("ada@example.com").suspended_at = utcnow()
        db.session.commit()
    assert ada.get("/console").status_code == 303
    assert Browser(app).log_in().status_code == 422


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/console/keys", "/console/keys"),
        ("/console/usage?days=30", "/console/usage?days=30"),
        ("//evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("https://evil.example", "/console"),
        ("/\tevil", "/console"),
        ("/ok\r\nX: y", "/console"),
        ("javascript:alert(1)", "/console"),
    ],
)
def test_next_stays_on_this_site(app, ada, target, lands):
    other = Browser(app)
    data = {
        "email": "ada@example.com",
        "password": PASSWORD,
        "next": target,
        "csrf_token": csrf_of(other),
    }
    assert other.client.post("/login", data=data).location == lands


def test_login_changes_the_token_and_the_csrf_token(app, ada):
    with ada.client.session_transaction() as cookie:
        before = dict(cookie)
    ada.log_out()
    ada.log_in()
    ada.get("/console")
    with ada.client.session_transaction() as cookie:
        assert set(cookie) <= {"_user_id", "csrf_token", "_permanent"}
        assert cookie["_user_id"] != before["_user_id"]
        assert cookie["csrf_token"] != before.get("csrf_token")


@pytest.mark.parametrize(
    "changes",
    [
        {"last_seen_at": utcnow() - timedelta(days=8)},
        {"expires_at": utcnow() - timedelta(1)},
    ],
)
def test_sessions_end(app, ada, changes):
    age_session(app, **changes)
    assert ada.get("/console").status_code == 303


def test_cookie_is_kept_from_scripts_and_other_sites(browser):
    cookie = browser.sign_up().headers["Set-Cookie"]
    assert cookie.startswith("session=")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


def test_database_holds_only_the_hash_of_a_token(app, ada):
    with ada.client.session_transaction() as cookie:
        token = cookie["_user_id"]
    with app.app_context():
        row = db.session.query(UserSession).one()
        assert row.token_hash == hashlib.sha256(token.encode()).digest()


def test_an_old_hash_is_renewed_at_login(app, ada):
    from argon2 import PasswordHasher

    with app.app_context():
        weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
        accounts.find_user("ada@example.com").password_hash = weak
        db.session.commit()
    assert Browser(app).log_in().status_code == 303
    assert "m=19456,t=2,p=1" in user(app).password_hash


# ----------------------------------------------------------------------------- throttle


def test_after_five_wrong_passwords_the_account_has_to_wait(app, ada):
    guesser = Browser(app)
    for _ in range(5):
        assert guesser.log_in(password="wrong password").status_code == 422
    answer = guesser.log_in()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Too many attempts. Try again in" in answer.text


def test_the_wait_doubles_up_to_a_minute_and_is_never_for_good():
    now = [1000.0]
    log = FailureLog(lambda: now[0])
    waits = []
    for _ in range(14):
        log.add("a")
        waits.append(log.wait("a"))
        now[0] += log.wait("a")
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert log.wait("a") == 0 and log.wait("b") == 0
    log.clear("a")
    log.add("a")
    assert log.wait("a") == 0


def test_an_address_that_guesses_at_many_accounts_has_to_wait(app, browser):
    token = csrf_of(browser)
    codes = [
        browser.client.post(
            "/login", data={"email": f"u{n}@example.com", "password": "x", "csrf_token": token}
        ).status_code
        for n in range(31)
    ]
    assert codes == [422] * 30 + [429]


def test_an_address_can_not_make_accounts_without_end(app, monkeypatch):
    monkeypatch.setattr("blueprints.passwords.hash_password", lambda password: "$argon2id$")
    codes = [Browser(app).sign_up(f"u{n}@example.com").status_code for n in range(41)]
    assert codes == [303] * 40 + [429]


# ----------------------------------------------------------------------------- foreign forms


@pytest.mark.parametrize(
    "path", ["/login", "/signup", "/logout", "/console/keys/new", "/console/confirm"]
)
def test_a_form_without_its_token_is_refused(ada, path):
    answer = ada.client.post(path, data={"email": "x", "password": "y"})
    assert answer.status_code == 400
    assert "This page expired" in answer.text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/console/keys/new", "/console/keys/new"),
        ("/console/keys/key_x/end-previous", "/console/keys/key_x"),
        ("/logout", "/"),
        ("/signup", "/signup?invite=a%22b"),
    ],
)
def test_an_expired_page_leads_back_to_its_form(ada, path, form):
    data = {"invite": 'a"b'} if "?" in form else {}
    text = ada.client.post(path, data=data).text
    assert f'<a class="button primary" href="{form}">Open the form again</a>' in text


@pytest.mark.parametrize("path", ["/login", "/theme", "/logout"])
def test_a_form_from_another_site_is_refused(browser, path):
    answer = browser.client.post(
        path,
        data={"csrf_token": csrf_of(browser), "theme": "dark"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403


# ----------------------------------------------------------------------------- step-up


def test_keys_ask_for_the_password_again_after_half_an_hour(app, ada):
    _, key_id = ada.create_key()
    age_session(app, authenticated_at=utcnow() - timedelta(minutes=31))
    for path in ("new", f"{key_id}/rotate", f"{key_id}/revoke"):
        answer = ada.get(f"/console/keys/{path}")
        assert answer.location == f"/console/confirm?next=/console/keys/{path}"
    assert ada.get(f"/console/keys/{key_id}").status_code == 200
    confirm = "/console/confirm?next=/console/keys/new"
    wrong = ada.send(confirm, action="/console/confirm", password="not this one")
    assert wrong.status_code == 422 and "That password isn’t right." in wrong.text
    with ada.client.session_transaction() as cookie:
        before = cookie["_user_id"]
    answer = ada.send(confirm, action="/console/confirm", password=PASSWORD)
    assert answer.location == "/console/keys/new"
    with ada.client.session_transaction() as cookie:
        assert cookie["_user_id"] != before
    assert ada.get("/console/keys/new").status_code == 200
    with app.app_context():
        assert accounts.find_session(before) is None
