"""The routes of routers.rs, with the middleware for methods that Flask's documentation shows."""

from flask import Flask, jsonify, request

from report import report


class HTTPMethodOverrideMiddleware:
    """https://flask.palletsprojects.com/en/stable/patterns/methodoverrides/"""

    allowed_methods = frozenset(["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"])
    bodyless_methods = frozenset(["GET", "HEAD", "OPTIONS", "DELETE"])

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()
        if method in self.allowed_methods:
            environ["REQUEST_METHOD"] = method
        if method in self.bodyless_methods:
            environ["CONTENT_LENGTH"] = "0"
        return self.app(environ, start_response)


app = Flask(__name__, static_folder=None)
app.wsgi_app = HTTPMethodOverrideMiddleware(app.wsgi_app)
ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def answer(handler, status=200, **params):
    query = list(request.args.items(multi=True))
    headers = list(request.headers.items())
    hydrate = request.values.getlist("hydrate")
    told = report(handler, request.method, params, query, headers, request.cookies, request.url, hydrate)
    return jsonify(told), status


def route(path, methods, handler):
    app.add_url_rule(path, f"{path} {methods}", lambda **params: answer(handler, **params), methods=methods)


route("/", ["GET"], "root")
route("/health", ["GET"], "health")
route("/docs", ["POST"], "docs.create")
route("/docs/<id>", ["GET"], "docs.get")
route("/docs/<id>", ["PUT", "PATCH"], "docs.update")
route("/docs/<id>", ["DELETE"], "docs.delete")
route("/admin/users", ["GET"], "admin")
route("/admin/<path:rest>", ALL, "admin")
route("/search", ["GET", "POST"], "search")
route("/orgs/<org>/x", ALL, "orgs")
route("/public/<name>", ["DELETE"], "public.delete")
route("/public/<path:rest>", ["GET"], "public.get")
route("/typed", ["GET"], "typed")
app.register_error_handler(404, lambda _: answer("none", 404))
