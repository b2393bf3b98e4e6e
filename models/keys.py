"""API keys: their secrets, life cycle, and the plain snapshot that the hot path reads.

A key (its id is the *lineage*) has one or more secrets. Limits, models and history belong to the
key; rotation adds a secret and lets the old one end. Secrets look like
`sy_live_` + 30 random base62 + 6 base62 of the CRC32 of all before, so that a mistyped one is told
from a strange one without a look-up. Only their HMAC-SHA256 under a pepper is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    select,
    update,
)
from sqlalchemy.orm import Mapped, joinedload, mapped_column, relationship

from models import BASE62, Base, UtcDateTime, db, new_id, utcnow
from models.accounts import User
from models.audit import record_event

Mode = Literal["live", "test"]
RANDOM_CHARS = 30
CHECKSUM_CHARS = 6
KEY_PATTERN = re.compile(r"sy_(?:live|test)_[0-9A-Za-z]{36}")
LAST_USED_EVERY = timedelta(minutes=1)


class ApiKey(Base):
    """What we issue to developers. Limits left at None are the account's."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("key"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(50))
    note: Mapped[str] = mapped_column(String(200), default="")
    mode: Mapped[str] = mapped_column(String(4))
    access: Mapped[str] = mapped_column(String(20), default="all")
    models: Mapped[list[str] | None] = mapped_column(JSON)
    ips: Mapped[list[str] | None] = mapped_column(JSON)
    chat_rpm: Mapped[int | None] = mapped_column(Integer)
    image_rpm: Mapped[int | None] = mapped_column(Integer)
    tokens_per_minute: Mapped[int | None] = mapped_column(Integer)
    concurrency: Mapped[int | None] = mapped_column(Integer)
    monthly_cap_nano: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship()
    secrets: Mapped[list[KeySecret]] = relationship(
        back_populates="key", order_by="KeySecret.created_at.desc()", cascade="all, delete-orphan"
    )

    @property
    def secret(self) -> KeySecret:
        """The newest secret."""
        return self.secrets[0]

    @property
    def previous(self) -> KeySecret | None:
        """The old secret of a rotation that still works."""
        now = utcnow()
        return next((s for s in self.secrets[1:] if s.ends_at and s.ends_at > now), None)

    @property
    def last_used_at(self) -> datetime | None:
        return max((s.last_used_at for s in self.secrets if s.last_used_at), default=None)

    @property
    def status(self) -> Literal["active", "paused", "expired", "revoked"]:
        if self.revoked_at:
            return "revoked"
        if self.expires_at and self.expires_at <= utcnow():
            return "expired"
        return "paused" if self.paused_at else "active"


class KeySecret(Base):
    """One secret of a key. `hint` and `last4` are all that can be shown of it."""

    __tablename__ = "key_secrets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("sec"))
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    pepper_version: Mapped[int] = mapped_column(Integer, default=1)
    hint: Mapped[str] = mapped_column(String(16))
    last4: Mapped[str] = mapped_column(String(4))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    grace_seconds: Mapped[int | None] = mapped_column(Integer)
    first_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_ip: Mapped[str | None] = mapped_column(String(64))
    last_used_agent: Mapped[str | None] = mapped_column(String(300))

    key: Mapped[ApiKey] = relationship(back_populates="secrets")

    @property
    def masked(self) -> str:
        return f"{self.hint}…{self.last4}"


# ----------------------------------------------------------------------------- the secret


def mint_secret(mode: Mode) -> str:
    """A new secret, 178 bits of randomness."""
    body = f"sy_{mode}_" + "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARS))
    return body + checksum(body)


def checksum(body: str) -> str:
    """CRC32 in six base62 digits: catches every mistyped character, guards nothing."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def is_well_formed(secret: str) -> bool:
    return bool(KEY_PATTERN.fullmatch(secret)) and checksum(secret[:-6]) == secret[-6:]


def digest(secret: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


# ----------------------------------------------------------------------------- life cycle


def create_key(
    user: User,
    *,
    name: str,
    mode: Mode,
    pepper: bytes,
    ip: str | None = None,
    user_agent: str | None = None,
    key_id: str | None = None,
) -> tuple[ApiKey, str]:
    """Add a key to the current transaction; returns it with its secret, shown this once.

    A form that was given its `key_id` beforehand can be sent only once: IntegrityError.
    """
    key = ApiKey(id=key_id or new_id("key"), user_id=user.id, name=name.strip()[:50], mode=mode)
    secret = _add_secret(key, pepper)
    db.session.add(key)
    db.session.flush()
    record_event(
        "key.created",
        user_id=user.id,
        target=key.id,
        ip=ip,
        user_agent=user_agent,
        details={"name": key.name, "mode": mode},
    )
    return key, secret


def rotate_key(
    key: ApiKey,
    *,
    grace: timedelta,
    pepper: bytes,
    ip: str | None = None,
    user_agent: str | None = None,
) -> str:
    """Give the key a new secret; the current one ends after `grace`, any older one now."""
    now = utcnow()
    for old in key.secrets:
        ends = now + grace if old is key.secret else now
        old.ends_at = min(old.ends_at, ends) if old.ends_at else ends
    secret = _add_secret(key, pepper)
    db.session.flush()
    record_event(
        "key.rotated",
        user_id=key.user_id,
        target=key.id,
        ip=ip,
        user_agent=user_agent,
        details={"grace_seconds": int(grace.total_seconds())},
    )
    return secret


def end_previous(key: ApiKey, *, ip: str | None = None, user_agent: str | None = None) -> None:
    """End a rotation's overlap now."""
    now = utcnow()
    for old in key.secrets[1:]:
        if old.ends_at is None or old.ends_at > now:
            old.ends_at = now
    record_event(
        "key.overlap_ended", user_id=key.user_id, target=key.id, ip=ip, user_agent=user_agent
    )


def revoke_key(key: ApiKey, *, ip: str | None = None, user_agent: str | None = None) -> None:
    """End the key for good. Doing it twice changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = utcnow()
        record_event(
            "key.revoked", user_id=key.user_id, target=key.id, ip=ip, user_agent=user_agent
        )


def keys_of(user_id: str) -> list[ApiKey]:
    """A user's keys, newest first, secrets loaded."""
    query = (
        select(ApiKey)
        .where(ApiKey.user_id == user_id)
        .options(joinedload(ApiKey.secrets))
        .order_by(ApiKey.created_at.desc())
    )
    return list(db.session.scalars(query).unique())


def find_key(key_id: str, user_id: str, *, lock: bool = False) -> ApiKey | None:
    """A key of this user; somebody else's does not exist. `lock` holds it until the commit."""
    query = select(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id)
    return db.session.scalar(query.with_for_update() if lock else query)


def _add_secret(key: ApiKey, pepper: bytes) -> str:
    secret = mint_secret("test" if key.mode == "test" else "live")
    key.secrets.insert(
        0,
        KeySecret(
            digest=digest(secret, pepper), hint=secret[:12], last4=secret[-4:], created_at=utcnow()
        ),
    )
    return secret


# ----------------------------------------------------------------------------- the hot path


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """What the API needs to know of a key, detached from the database. Times are epoch seconds."""

    key_id: str
    secret_id: str
    user_id: str
    name: str
    mode: str
    access: str
    models: frozenset[str] | None
    ips: tuple[str, ...] | None
    chat_rpm: int
    image_rpm: int
    tokens_per_minute: int | None
    concurrency: int | None
    api_access: bool
    suspended: bool
    paused: bool
    revoked_at: float | None
    expires_at: float | None
    ends_at: float | None


def find_snapshot(secret_digest: bytes) -> KeySnapshot | None:
    """Look a secret up by its digest; one query."""
    row = db.session.execute(
        select(KeySecret, ApiKey, User)
        .join(ApiKey, KeySecret.key_id == ApiKey.id)
        .join(User, ApiKey.user_id == User.id)
        .where(KeySecret.digest == secret_digest)
    ).first()
    return _snapshot(*row) if row else None


def _snapshot(secret: KeySecret, key: ApiKey, user: User) -> KeySnapshot:
    plan = user.plan
    return KeySnapshot(
        key_id=key.id,
        secret_id=secret.id,
        user_id=user.id,
        name=key.name,
        mode=key.mode,
        access=key.access,
        models=_allowed_models(plan.models, key.models),
        ips=tuple(key.ips) if key.ips else None,
        chat_rpm=_limit(user.chat_rpm, plan.chat_rpm, key.chat_rpm) or 0,
        image_rpm=_limit(user.image_rpm, plan.image_rpm, key.image_rpm) or 0,
        tokens_per_minute=_limit(
            user.tokens_per_minute, plan.tokens_per_minute, key.tokens_per_minute
        ),
        concurrency=_limit(user.concurrency, plan.concurrency, key.concurrency),
        api_access=user.api_access,
        suspended=user.suspended_at is not None,
        paused=key.paused_at is not None,
        revoked_at=_epoch(key.revoked_at),
        expires_at=_epoch(key.expires_at),
        ends_at=_epoch(secret.ends_at),
    )


def _limit(user: int | None, plan: int | None, key: int | None) -> int | None:
    """The account's own value replaces the plan's; a key may only lower it."""
    account = user if user is not None else plan
    if key is None or account is None:
        return account if key is None else key
    return min(account, key)


def _allowed_models(*lists: Iterable[str] | None) -> frozenset[str] | None:
    allowed: frozenset[str] | None = None
    for names in lists:
        if names is not None:
            allowed = frozenset(names) if allowed is None else allowed & frozenset(names)
    return allowed


def _epoch(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


@dataclass(slots=True)
class LastUse:
    at: datetime
    ip: str | None
    user_agent: str | None


def store_last_used(uses: dict[str, LastUse]) -> None:
    """Note last use by secret id: in one order (no deadlock), and at most once a minute each."""
    for secret_id in sorted(uses):
        use = uses[secret_id]
        db.session.execute(
            update(KeySecret)
            .where(KeySecret.id == secret_id)
            .where(
                (KeySecret.last_used_at.is_(None))
                | (KeySecret.last_used_at < use.at - LAST_USED_EVERY)
            )
            .values(
                last_used_at=use.at,
                last_used_ip=use.ip,
                last_used_agent=(use.user_agent or "")[:300] or None,
            )
        )
        db.session.execute(
            update(KeySecret)
            .where(KeySecret.id == secret_id, KeySecret.first_used_at.is_(None))
            .values(first_used_at=use.at)
        )
    db.session.commit()
