"""The routes of routers.rs."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from report import report

ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def answer(request, handler, status=200):
    query, headers = request.query_params.multi_items(), request.headers.items()
    params = {name: str(value) for name, value in request.path_params.items()}
    told = report(handler, request.method, params, query, headers, request.cookies, str(request.url))
    return JSONResponse(told, status)


def route(path, methods, handler):
    async def endpoint(request):
        return answer(request, handler)

    return Route(path, endpoint, methods=methods)


async def not_found(request, _):
    return answer(request, "none", 404)


app = Starlette(
    routes=[
        route("/", ["GET"], "root"),
        route("/health", ["GET"], "health"),
        route("/docs", ["POST"], "docs.create"),
        route("/docs/{id}", ["GET"], "docs.get"),
        route("/docs/{id}", ["PUT", "PATCH"], "docs.update"),
        route("/docs/{id}", ["DELETE"], "docs.delete"),
        route("/admin/users", ["GET"], "admin"),
        route("/admin/{rest:path}", ALL, "admin"),
        route("/search", ["GET", "POST"], "search"),
        route("/orgs/{org}/x", ALL, "orgs"),
        route("/public/{name}", ["DELETE"], "public.delete"),
        route("/public/{rest:path}", ["GET"], "public.get"),
        route("/typed", ["GET"], "typed"),
    ],
    exception_handlers={404: not_found},
)
