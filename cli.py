"""Commands of the operator: `flask user create`, `flask key create`, `flask usage audit`.

What a script reads goes to stdout, everything else to stderr. A mistake is one line and exit code
1, or 2 where the command line itself is wrong.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from blueprints import passwords
from blueprints.console.site import problem_with_email
from models import accounts, db, keys, usage
from models.accounts import User
from models.audit import record_event
from models.plans import SHIPPED_PLANS, Plan

MAX_KEY_NAME = 50

user_cli = AppGroup("user", help="Accounts.")
key_cli = AppGroup("key", help="API keys.")
usage_cli = AppGroup("usage", help="Usage records.")


def register(app: Flask) -> None:
    for group in (user_cli, key_cli, usage_cli):
        app.cli.add_command(group)


def needs_database(command: Callable[..., None]) -> Callable[..., None]:
    """Say in one line what to do when the database is away or has no tables."""

    @wraps(command)
    def guarded(**parameters: Any) -> None:
        try:
            command(**parameters)
        except (OperationalError, ProgrammingError) as error:
            reason = str(error.orig).splitlines()[0]
            raise click.ClickException(
                f"The database can't be used ({reason}). Run `flask db upgrade` first."
            ) from None

    return guarded


# ----------------------------------------------------------------------------- users


@user_cli.command("create")
@click.argument("email")
@click.option(
    "--password",
    help="At least 12 characters. Asked for if not given; without a "
    "terminal one is made up and printed.",
)
@click.option(
    "--plan",
    "plan_id",
    help="The account's plan.",
    type=click.Choice([plan["id"] for plan in SHIPPED_PLANS]),
)
@click.option("--admin", is_flag=True, help="Make the account an operator.")
@needs_database
def create_user(email: str, password: str | None, plan_id: str | None, admin: bool) -> None:
    """Create the account EMAIL. The first one is an operator in any case."""
    email = accounts.normalise_email(email)
    refuse(problem_with_email(email, None))
    if accounts.find_user(email):
        raise click.ClickException(f"There is an account for {email} already.")
    chosen, was_made_up = choose_password(password)
    refuse(passwords.problem_with(chosen))
    user = add_user(email, chosen, plan_id, admin)
    role = ", operator" if user.is_admin else ""
    click.echo(f"Created {user.email} (plan {user.plan_id}{role}).", err=True)
    if was_made_up:
        click.echo(chosen)


def choose_password(given: str | None) -> tuple[str, bool]:
    """The password, and whether it was made up here."""
    if given is not None:
        return given, False
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True), False
    return secrets.token_urlsafe(18), True


def add_user(email: str, password: str, plan_id: str | None, admin: bool) -> User:
    plan = db.session.get(Plan, plan_id) if plan_id else None
    if plan_id and plan is None:
        raise click.ClickException(f"There is no plan {plan_id} in the database.")
    try:
        user = accounts.create_user(
            email, passwords.hash_password(password), plan=plan, is_admin=True if admin else None
        )
    except IntegrityError:
        raise click.ClickException(f"There is an account for {email} already.") from None
    record_event("user.created", user_id=user.id, details={"by": "cli"})
    db.session.commit()
    return user


def refuse(problem: str | None) -> None:
    if problem:
        raise click.ClickException(problem)


# ----------------------------------------------------------------------------- keys


@key_cli.command("create")
@click.argument("email")
@click.option("--name", default="cli", show_default=True, help="What the key is for.")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@needs_database
def create_key(email: str, name: str, mode: keys.Mode) -> None:
    """Create an API key for EMAIL and print it: the last line of stdout, shown this once."""
    user = accounts.find_user(email)
    if user is None:
        raise click.ClickException(f"There is no account for {email}.")
    if not 1 <= len(name.strip()) <= MAX_KEY_NAME:
        raise click.ClickException(f"The name needs 1 to {MAX_KEY_NAME} characters.")
    pepper = current_app.extensions["platform"].pepper
    key, secret = keys.create_key(user, name=name, mode=mode, pepper=pepper)
    db.session.commit()
    click.echo(f"Created {mode} key {key.id} for {user.email}.", err=True)
    click.echo(secret)


# ----------------------------------------------------------------------------- usage


@usage_cli.command("audit")
@needs_database
def audit() -> None:
    """Compare usage records with their roll-ups; exit code 1 if they disagree."""
    found = usage.audit()
    click.echo(
        json.dumps(
            {
                "records": found.records,
                "rolled_up": found.rolled_up,
                "open": current_app.extensions["platform"].journal_open(),
                "spend_nano_usd": found.spend_nano_usd,
            }
        )
    )
    if not found.agrees:
        click.echo("Error: records and roll-ups disagree.", err=True)
        sys.exit(1)
