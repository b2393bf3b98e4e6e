"""API keys: their form, their rotation, and what the hot path is told of them."""

from __future__ import annotations

import dataclasses
import random
import re
import string
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from models import db, utcnow
from models.accounts import create_user
from models.audit import AuditEvent, current_epoch
from models.keys import (
    ApiKey,
    KeySecret,
    LastUse,
    _limit,
    checksum,
    create_key,
    digest,
    end_previous,
    find_key,
    find_snapshot,
    is_well_formed,
    keys_of,
    mint_secret,
    revoke_key,
    rotate_key,
    store_last_used,
)
from models.plans import Plan

PEPPER = b"p" * 32
BASE62 = string.digits + string.ascii_letters
HOUR = timedelta(hours=1)


# ----------------------------------------------------------------------------- the secret


@pytest.fixture(scope="module")
def minted():
    """10^5 secrets, half of either mode."""
    return [mint_secret(mode) for mode in ("live", "test") for _ in range(50_000)]


def test_secrets_have_the_promised_form(minted):
    form = re.compile(r"sy_(live|test)_[0-9A-Za-z]{30}[0-9A-Za-z]{6}")
    assert all(map(form.fullmatch, minted))
    assert all(map(is_well_formed, minted))
    assert sum(secret.startswith("sy_live_") for secret in minted) == 50_000


def test_no_secret_comes_twice(minted):
    assert len(set(minted)) == len(minted)


def test_every_character_is_drawn_evenly(minted):
    """62 characters over 3 million draws: each within 3 % of its share."""
    text = "".join(secret[8:38] for secret in minted)
    share = len(text) / 62
    assert all(abs(text.count(c) - share) < 0.03 * share for c in BASE62)


def test_no_mutation_of_one_character_passes(minted):
    dice = random.Random(1)
    for secret in minted:
        place = dice.randrange(8, len(secret))
        other = dice.choice(BASE62)
        if other != secret[place]:
            assert not is_well_formed(secret[:place] + other + secret[place + 1 :])


def test_no_swap_of_neighbours_passes(minted):
    for secret in minted[::50]:
        for place in range(8, len(secret) - 1):
            a, b = secret[place], secret[place + 1]
            if a != b:
                assert not is_well_formed(secret[:place] + b + a + secret[place + 2 :])


def test_the_mode_is_under_the_checksum(minted):
    live = minted[0]
    assert not is_well_formed(live.replace("sy_live_", "sy_test_"))


@given(st.text())
def test_anything_else_is_not_well_formed(text):
    assert not is_well_formed(text)


@pytest.mark.parametrize("change", [
    lambda s: s + "\n", lambda s: " " + s, lambda s: s[:-1], lambda s: s + "0",
    lambda s: s.upper(), lambda s: "", lambda s: s.replace("_", "-"), lambda s: "sk_" + s[3:],
])  # fmt: skip
def test_a_secret_is_taken_to_the_letter(change):
    assert not is_well_formed(change(mint_secret("live")))


def test_the_checksum_never_changes():
    """Keys that exist carry it."""
    assert checksum("") == "000000"
    assert checksum("sy_live_" + "0" * 30) == "3s29Ir"


def test_the_digest_depends_on_secret_and_pepper():
    secret = mint_secret("live")
    assert len(digest(secret, PEPPER)) == 32
    assert digest(secret, PEPPER) == digest(secret, PEPPER)
    assert digest(secret, PEPPER) != digest(secret, b"q" * 32)
    assert digest(secret, PEPPER) != digest(mint_secret("live"), PEPPER)


# ----------------------------------------------------------------------------- life cycle


@pytest.fixture
def database(app):
    """SQLite is enough here: nothing depends on the dialect."""
    with app.app_context():
        yield app


@pytest.fixture
def user(database):
    made = create_user("ada@example.com", "hash", plan=db.session.get(Plan, "pro"))
    db.session.commit()
    return made


@pytest.fixture
def key(user):
    made, secret = create_key(user, name=" backend ", mode="live", pepper=PEPPER)
    db.session.commit()
    return SimpleNamespace(row=made, secret=secret)


def find(secret):
    return find_snapshot(digest(secret, PEPPER))


def test_of_a_secret_only_hint_and_end_are_kept(key):
    stored = key.row.secret
    assert (stored.hint, stored.last4) == (key.secret[:12], key.secret[-4:])
    assert stored.masked == f"{key.secret[:12]}…{key.secret[-4:]}"
    for table in (ApiKey, KeySecret, AuditEvent):
        for row in db.session.execute(select(table.__table__)):
            assert key.secret not in str(tuple(row)) and key.secret[12:-4] not in str(tuple(row))


def test_the_name_is_trimmed(key, user):
    assert key.row.name == "backend"
    long, _ = create_key(user, name="x" * 80, mode="test", pepper=PEPPER)
    assert len(long.name) == 50


def test_a_form_sent_twice_makes_one_key(user):
    create_key(user, name="a", mode="live", pepper=PEPPER, key_id="key_form")
    db.session.commit()
    db.session.expunge_all()
    again = SimpleNamespace(id=db.session.scalar(select(ApiKey.user_id)))
    with pytest.raises(IntegrityError):
        create_key(again, name="a", mode="live", pepper=PEPPER, key_id="key_form")
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(ApiKey)) == 1


def test_rotation_lets_the_old_secret_go_on_for_its_grace(key):
    new = rotate_key(key.row, grace=HOUR, pepper=PEPPER)
    db.session.commit()
    old, fresh = find(key.secret), find(new)
    assert old.key_id == fresh.key_id == key.row.id
    assert old.secret_id != fresh.secret_id
    assert fresh.ends_at is None
    assert 3590 < old.ends_at - utcnow().timestamp() <= 3600
    assert key.row.secret.masked == f"{new[:12]}…{new[-4:]}"
    assert key.row.previous.last4 == key.secret[-4:]


def test_rotation_without_grace_ends_the_old_secret_now(key):
    rotate_key(key.row, grace=timedelta(0), pepper=PEPPER)
    db.session.commit()
    assert find(key.secret).ends_at <= utcnow().timestamp()
    assert key.row.previous is None


def test_rotating_twice_within_the_grace_ends_the_oldest(key):
    second = rotate_key(key.row, grace=HOUR, pepper=PEPPER)
    third = rotate_key(key.row, grace=HOUR, pepper=PEPPER)
    db.session.commit()
    now = utcnow().timestamp()
    assert find(key.secret).ends_at <= now
    assert find(second).ends_at > now
    assert find(third).ends_at is None
    assert key.row.previous.last4 == second[-4:]


def test_a_later_rotation_never_gives_an_old_secret_more_time(key):
    rotate_key(key.row, grace=timedelta(minutes=1), pepper=PEPPER)
    db.session.commit()
    before = find(key.secret).ends_at
    rotate_key(key.row, grace=timedelta(days=1), pepper=PEPPER)
    db.session.commit()
    assert find(key.secret).ends_at <= before


def test_the_overlap_can_be_ended(key):
    new = rotate_key(key.row, grace=HOUR, pepper=PEPPER)
    end_previous(key.row)
    db.session.commit()
    assert find(key.secret).ends_at <= utcnow().timestamp()
    assert find(new).ends_at is None


def test_a_test_key_stays_one(user):
    made, first = create_key(user, name="t", mode="test", pepper=PEPPER)
    second = rotate_key(made, grace=HOUR, pepper=PEPPER)
    assert first.startswith("sy_test_") and second.startswith("sy_test_")


def test_revoking_ends_every_secret_once(key):
    new = rotate_key(key.row, grace=HOUR, pepper=PEPPER)
    revoke_key(key.row)
    db.session.commit()
    at = key.row.revoked_at
    assert find(key.secret).revoked_at == find(new).revoked_at == at.timestamp()
    assert key.row.status == "revoked"
    epoch = current_epoch()
    revoke_key(key.row)
    db.session.commit()
    assert (key.row.revoked_at, current_epoch()) == (at, epoch)


def test_everything_that_changes_a_key_moves_the_epoch(key):
    epochs = [current_epoch()]
    for step in (
        lambda: rotate_key(key.row, grace=HOUR, pepper=PEPPER),
        lambda: end_previous(key.row),
        lambda: revoke_key(key.row),
    ):
        step()
        db.session.commit()
        epochs.append(current_epoch())
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize(("column", "status"), [
    ("revoked_at", "revoked"), ("expires_at", "expired"), ("paused_at", "paused"), (None, "active"),
])  # fmt: skip
def test_status(key, column, status):
    if column:
        setattr(key.row, column, utcnow() - HOUR)
        db.session.commit()
    assert key.row.status == status


def test_a_key_that_expires_later_is_active(key):
    key.row.expires_at = utcnow() + HOUR
    db.session.commit()
    assert key.row.status == "active"


def test_somebody_elses_key_does_not_exist(key, user):
    eve = create_user("eve@example.com", "hash")
    db.session.commit()
    assert find_key(key.row.id, user.id) is key.row
    assert find_key(key.row.id, user.id, lock=True) is key.row
    assert find_key(key.row.id, eve.id) is None
    assert keys_of(eve.id) == []


def test_keys_are_listed_newest_first(user):
    for number in range(3):
        create_key(user, name=f"k{number}", mode="live", pepper=PEPPER)
    db.session.commit()
    assert [k.name for k in keys_of(user.id)] == ["k2", "k1", "k0"]


# ----------------------------------------------------------------------------- the snapshot


def test_a_snapshot_says_what_the_api_needs(key, user):
    snapshot = find(key.secret)
    assert dataclasses.asdict(snapshot) == {
        "key_id": key.row.id,
        "secret_id": key.row.secret.id,
        "user_id": user.id,
        "name": "backend",
        "mode": "live",
        "access": "all",
        "models": None,
        "ips": None,
        "chat_rpm": 300,
        "image_rpm": 60,
        "tokens_per_minute": None,
        "concurrency": None,
        "api_access": True,
        "suspended": False,
        "paused": False,
        "revoked_at": None,
        "expires_at": None,
        "ends_at": None,
    }


def test_an_unknown_secret_has_none(database):
    assert find(mint_secret("live")) is None


def test_a_snapshot_carries_every_restriction(key, user):
    now = utcnow()
    key.row.models, key.row.ips = ["gpt-4o"], ["10.0.0.0/8"]
    key.row.paused_at = key.row.expires_at = now
    user.api_access, user.suspended_at = False, now
    db.session.commit()
    snapshot = find(key.secret)
    assert (snapshot.models, snapshot.ips) == (frozenset({"gpt-4o"}), ("10.0.0.0/8",))
    assert (snapshot.paused, snapshot.api_access, snapshot.suspended) == (True, False, True)
    assert snapshot.expires_at == now.timestamp()


@pytest.mark.parametrize(("plan", "key_models", "allowed"), [
    (None, None, None), (["a", "b"], None, {"a", "b"}), (None, ["a"], {"a"}),
    (["a", "b"], ["b", "c"], {"b"}), (["a"], ["b"], set()), (None, [], set()),
])  # fmt: skip
def test_a_key_never_widens_the_models_of_its_plan(key, user, plan, key_models, allowed):
    user.plan.models, key.row.models = plan, key_models
    db.session.commit()
    db.session.expire_all()
    found = find(key.secret).models
    assert found == (None if allowed is None else frozenset(allowed))


LIMIT = st.none() | st.integers(0, 100)


@given(LIMIT, LIMIT, LIMIT)
def test_an_account_replaces_its_plan_and_a_key_only_lowers(user, plan, key):
    account = user if user is not None else plan
    effective = _limit(user, plan, key)
    if key is None:
        assert effective == account
    elif account is None:
        assert effective == key
    else:
        assert effective == min(account, key)


@pytest.mark.parametrize(("account", "own", "effective"), [
    (None, None, 300), (1000, None, 1000), (None, 5, 5), (None, 5000, 300), (10, 50, 10), (0, 5, 0),
])  # fmt: skip
def test_limits_of_a_key(key, user, account, own, effective):
    user.chat_rpm, key.row.chat_rpm = account, own
    db.session.commit()
    assert find(key.secret).chat_rpm == effective
    assert find(key.secret).image_rpm == 60


# ----------------------------------------------------------------------------- last use


def test_last_use_is_noted_at_most_once_a_minute(key):
    first = utcnow()
    secret_id = key.row.secret.id

    def use(seconds, ip):
        store_last_used({secret_id: LastUse(first + timedelta(seconds=seconds), ip, "x" * 500)})
        db.session.expire_all()
        stored = key.row.secret
        return (stored.last_used_at - first).total_seconds(), stored.last_used_ip

    assert use(0, "::1") == (0, "::1")
    assert use(30, "::2") == (0, "::1")
    assert use(61, "::3") == (61, "::3")
    assert key.row.secret.first_used_at == first
    assert len(key.row.secret.last_used_agent) == 300
    assert key.row.last_used_at == first + timedelta(seconds=61)
