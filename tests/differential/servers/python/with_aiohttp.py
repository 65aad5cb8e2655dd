"""The routes of routers.rs."""

import sys

from aiohttp import web

from report import report


def answer(request, handler, status=200):
    params = dict(request.match_info)
    query, headers = list(request.query.items()), list(request.headers.items())
    told = report(handler, request.method, params, query, headers, request.cookies, str(request.rel_url))
    return web.json_response(told, status=status)


@web.middleware
async def not_found(request, handler):
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return answer(request, "none", 404)


def route(methods, path, handler):
    async def endpoint(request):
        return answer(request, handler)

    return [web.route(method, path, endpoint) for method in methods]


app = web.Application(middlewares=[not_found])
for routes in [
    route(["GET"], "/", "root"),
    route(["GET"], "/health", "health"),
    route(["POST"], "/docs", "docs.create"),
    route(["GET"], "/docs/{id}", "docs.get"),
    route(["PUT", "PATCH"], "/docs/{id}", "docs.update"),
    route(["DELETE"], "/docs/{id}", "docs.delete"),
    route(["*"], "/admin/{rest:.*}", "admin"),
    route(["GET", "POST"], "/search", "search"),
    route(["*"], "/orgs/{org}/x", "orgs"),
    route(["DELETE"], "/public/{name}", "public.delete"),
    route(["GET"], "/public/{rest:.*}", "public.get"),
    route(["GET"], "/typed", "typed"),
]:
    app.add_routes(routes)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
