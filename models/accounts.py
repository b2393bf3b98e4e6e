"""Users and their browser sessions."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, LargeBinary, String, func, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models import Base, UtcDateTime, db, new_id, utcnow
from models.plans import Plan, default_plan

SESSION_IDLE = timedelta(days=7)
SESSION_ABSOLUTE = timedelta(days=30)
LAST_SEEN_EVERY = timedelta(minutes=1)


class User(Base):
    """An account. Limits left at None are the plan's."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("usr"))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(80), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"))
    api_access: Mapped[bool] = mapped_column(Boolean, default=True)
    chat_rpm: Mapped[int | None] = mapped_column(Integer)
    image_rpm: Mapped[int | None] = mapped_column(Integer)
    tokens_per_minute: Mapped[int | None] = mapped_column(Integer)
    concurrency: Mapped[int | None] = mapped_column(Integer)
    monthly_cap_nano: Mapped[int | None] = mapped_column(BigInteger)
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    suspended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    plan: Mapped[Plan] = relationship(lazy="joined")

    # What flask-login asks of a user.
    is_authenticated = True
    is_anonymous = False

    @property
    def is_active(self) -> bool:
        return self.suspended_at is None

    def get_id(self) -> str:
        return self.id


class UserSession(Base):
    """A browser's log-in. The cookie holds a random token; the row holds only its SHA-256."""

    __tablename__ = "user_sessions"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("ses"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    authenticated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(300))

    user: Mapped[User] = relationship(lazy="joined")

    def is_live(self, now: datetime) -> bool:
        return (
            self.revoked_at is None
            and now < self.expires_at
            and now - self.last_seen_at < SESSION_IDLE
            and self.user.is_active
        )


class Invite(Base):
    """A sign-up allowed while `SIGNUP=invite`. The link holds a token; the row only its hash."""

    __tablename__ = "invites"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("inv"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"))
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def normalise_email(email: str) -> str:
    return email.strip().lower()


def find_user(email: str) -> User | None:
    return db.session.scalar(select(User).where(User.email == normalise_email(email)))


def create_user(
    email: str,
    password_hash: str,
    *,
    name: str = "",
    plan: Plan | None = None,
    is_admin: bool | None = None,
    verified: bool = True,
) -> User:
    """Add a user to the current transaction. The first account becomes the operator."""
    if is_admin is None:
        is_admin = db.session.scalar(select(func.count()).select_from(User)) == 0
    user = User(
        email=normalise_email(email),
        name=name.strip(),
        password_hash=password_hash,
        plan=plan or default_plan(),
        is_admin=is_admin,
        verified_at=utcnow() if verified else None,
    )
    db.session.add(user)
    db.session.flush()
    return user


def count_users() -> int:
    return db.session.scalar(select(func.count()).select_from(User)) or 0


def find_invite(token: str) -> Invite | None:
    """The invite of a link's token, unless it was used or has expired."""
    invite = db.session.scalar(select(Invite).where(Invite.token_hash == _token_hash(token)))
    if invite is None or invite.used_at or invite.expires_at <= utcnow():
        return None
    return invite


def start_session(user: User, *, ip: str | None, user_agent: str | None) -> str:
    """Open a session in the current transaction and return the token for the cookie."""
    token = secrets.token_urlsafe(32)
    db.session.add(
        UserSession(
            token_hash=_token_hash(token),
            user_id=user.id,
            expires_at=utcnow() + SESSION_ABSOLUTE,
            ip=ip,
            user_agent=(user_agent or "")[:300] or None,
        )
    )
    return token


def find_session(token: str) -> UserSession | None:
    """The live session of a cookie's token; notes at most once a minute that it was seen."""
    session = db.session.scalar(
        select(UserSession).where(UserSession.token_hash == _token_hash(token))
    )
    now = utcnow()
    if session is None or not session.is_live(now):
        return None
    if now - session.last_seen_at > LAST_SEEN_EVERY:
        session.last_seen_at = now
        db.session.commit()
    return session


def end_session(session: UserSession) -> None:
    session.revoked_at = utcnow()


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
