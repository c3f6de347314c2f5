"""Switches on extensions of Flask and middleware, each by its name, for an app of ``streams.make_app``."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from wsgiref.validate import validator

from cachelib import FileSystemCache
from flask import Blueprint, Flask, make_response, request, session
from flask_babel import Babel, get_locale
from flask_caching import Cache
from flask_compress import Compress
from flask_cors import CORS
from flask_limiter import Limiter
from flask_login import LoginManager, UserMixin, current_user, login_required
from flask_restful import Api, Resource
from flask_session import Session
from flask_smorest import Api as SmorestApi
from flask_smorest import Blueprint as SmorestBlueprint
from flask_sqlalchemy import SQLAlchemy
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFProtect, generate_csrf
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from sqlalchemy import text
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.profiler import ProfilerMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_sluice import Event
from tests.extensions.streams import respond, wrap_views

_POOL_SIZE = 3


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def login(app: Flask) -> None:
    manager = LoginManager(app)
    manager.request_loader(
        lambda asked: User(name) if (name := asked.headers.get("X-User")) else None
    )

    def greet(user: User):
        yield Event(data=user.id)

    @app.get("/mine")
    @login_required
    def mine():
        return respond(items=greet(current_user._get_current_object()))


def sqlalchemy(app: Flask) -> None:
    folder = Path(tempfile.mkdtemp())
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/app.db",
        SQLALCHEMY_ENGINE_OPTIONS={"pool_size": _POOL_SIZE, "max_overflow": 0, "pool_timeout": 5},
    )
    database = SQLAlchemy(app)

    @app.before_request
    def use_the_database():
        database.session.execute(text("select 1"))

    @app.get("/pool")
    def pool():
        return {"used": database.engine.pool.checkedout()}

    def save(key: str):
        yield Event(event="done", data="saved")
        with app.app_context():
            database.session.execute(text("create table answers (key)"))
            database.session.execute(text("insert into answers values (:key)"), {"key": key})
            database.session.commit()

    @app.get("/saves")
    def saves():
        return respond(items=save(request.args["key"]))

    @app.get("/saved")
    def saved():
        return {"keys": list(database.session.scalars(text("select key from answers")))}


def caching(app: Flask) -> None:
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    wrap_views(app, cache.cached(timeout=60))
    app.view_functions["page"] = cache.cached(timeout=60)(app.view_functions["page"])


def compress(app: Flask) -> None:
    Compress(app)


def compress_streams(app: Flask) -> None:
    app.config["COMPRESS_MIMETYPES"] = ["text/html", "text/event-stream"]
    Compress(app)


def wtf(app: Flask) -> None:
    CSRFProtect(app)
    app.add_url_rule("/token", "token", lambda: {"token": generate_csrf()})
    app.add_url_rule("/posted", "posted", respond, methods=["POST"])


def cors(app: Flask) -> None:
    CORS(app, origins=["https://page.example"], supports_credentials=True)


def limiter(app: Flask) -> None:
    limits = Limiter(
        lambda: request.args["key"], app=app, storage_uri="memory://", headers_enabled=True
    )
    app.add_url_rule("/limited", "limited", limits.limit("2 per hour")(respond))


def server_side_session(app: Flask) -> None:
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(tempfile.mkdtemp()))
    Session(app)

    @app.get("/counted")
    def counted():
        session["count"] = session.get("count", 0) + 1
        return respond(items=iter([Event(data=str(session["count"]))]))


def proxy_fix(app: Flask) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_prefix=1)

    @app.get("/whence")
    def whence():
        seen = [request.remote_addr, request.scheme, request.script_root]
        return respond(items=iter([Event.json(seen)]))


def prometheus(app: Flask) -> None:
    PrometheusMetrics(app, registry=CollectorRegistry())


def profiler(app: Flask) -> None:
    app.wsgi_app = ProfilerMiddleware(app.wsgi_app, stream=io.StringIO())


def debugger(app: Flask) -> None:
    app.debug = True
    app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True)


def babel(app: Flask) -> None:
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(["de", "en"]))

    @app.get("/locale")
    def locale():
        return respond(items=iter([Event(data=str(get_locale()))]))


def talisman(app: Flask) -> None:
    Talisman(app, force_https=False)


def restful(app: Flask) -> None:
    class Answer(Resource):
        def get(self):
            return respond()

    Api(app).add_resource(Answer, "/resource")


def smorest(app: Flask) -> None:
    app.config.update(API_TITLE="Answers", API_VERSION="1", OPENAPI_VERSION="3.0.2")
    blueprint = SmorestBlueprint("answers", "answers")

    @blueprint.route("/resource")
    @blueprint.response(200)
    def resource():
        return respond()

    SmorestApi(app).register_blueprint(blueprint)


def validate(app: Flask) -> None:
    app.wsgi_app = validator(app.wsgi_app)


def responses(app: Flask) -> None:
    """The ways in which views and hooks go on with a response."""
    blueprint = Blueprint("blue", "blue", url_prefix="/blue")
    blueprint.add_url_rule("/steps", "steps", respond)

    @blueprint.after_request
    def mark(response):
        response.headers["X-Blue"] = "yes"
        response.set_cookie("blue", "1")
        return response

    app.register_blueprint(blueprint)

    class OwnResponse(app.response_class):
        pass

    app.response_class = OwnResponse
    app.add_url_rule("/made", "made", lambda: make_response(respond(), 201, {"X-A": "b"}))
    app.add_url_rule("/tuple", "tuple", lambda: (respond(), 202, {"X-A": "b"}))

    @app.get("/cookie")
    def cookie():
        response = respond()
        response.set_cookie("flavour", "oat")
        return response


def reads_data(app: Flask) -> None:
    @app.after_request
    def tell_size(response):
        response.headers["X-Size"] = str(len(response.data))
        return response


def collects_data(app: Flask) -> None:
    reads_data(app)

    @app.after_request
    def collect(response):
        response.direct_passthrough = False
        return response


EXTENSIONS: dict[str, Callable[[Flask], None]] = {
    switch.__name__: switch
    for switch in (
        *(login, sqlalchemy, caching, compress, compress_streams, wtf, cors, limiter),
        *(server_side_session, proxy_fix, prometheus, debugger, babel, talisman, restful, smorest),
        *(validate, responses, profiler, reads_data, collects_data),
    )
}
