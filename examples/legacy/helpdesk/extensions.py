"""The extensions, made without an application so that every module can import them."""

from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy

from helpdesk.models import Base, User

database = SQLAlchemy(model_class=Base)
login_manager = LoginManager()


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return database.session.get(User, int(user_id))
