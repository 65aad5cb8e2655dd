"""The routes of routers.rs. A search is read by the parameters that FastAPI declares."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from report import report

ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]
app = FastAPI(openapi_url=None)


class Search(BaseModel):
    hydrate: str | None = None


def answer(request, handler, status=200, hydrate=()):
    query, headers = request.query_params.multi_items(), request.headers.items()
    params = {name: str(value) for name, value in request.path_params.items()}
    told = report(handler, request.method, params, query, headers, request.cookies, str(request.url), hydrate)
    return JSONResponse(told, status)


def route(path, methods, handler):
    async def endpoint(request: Request):
        return answer(request, handler)

    app.add_api_route(path, endpoint, methods=methods)


@app.api_route("/search", methods=["GET", "POST"])
async def search(
    request: Request,
    hydrate: str | None = None,
    by_query: Annotated[Search, Query()] = None,
    by_dependency: Annotated[Search, Depends()] = None,
):
    return answer(request, "search", 200, [hydrate, by_query.hydrate, by_dependency.hydrate])


@app.exception_handler(404)
async def not_found(request, _):
    return answer(request, "none", 404)


route("/", ["GET"], "root")
route("/health", ["GET"], "health")
route("/docs", ["POST"], "docs.create")
route("/docs/{id}", ["GET"], "docs.get")
route("/docs/{id}", ["PUT", "PATCH"], "docs.update")
route("/docs/{id}", ["DELETE"], "docs.delete")
route("/admin/users", ["GET"], "admin")
route("/admin/{rest:path}", ALL, "admin")
route("/orgs/{org}/x", ALL, "orgs")
route("/public/{name}", ["DELETE"], "public.delete")
route("/public/{rest:path}", ["GET"], "public.get")
route("/typed", ["GET"], "typed")
