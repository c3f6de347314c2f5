"""Commands of `flask`."""

import click
from flask.cli import with_appcontext

from helpdesk.extensions import database
from helpdesk.models import User


@click.command("create-user")
@click.argument("name")
@click.argument("password")
@with_appcontext
def create_user(name: str, password: str) -> None:
    """Create a user with this NAME and PASSWORD, and the tables if they do not exist."""
    database.create_all()
    user = User(name=name)
    user.set_password(password)
    database.session.add(user)
    database.session.commit()
