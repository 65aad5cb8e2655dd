"""The routes of every server here: /graphql, and GET /ran, which tells what has run since it was last asked."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


def app_of(layer, taken):
    def ran(_request):
        return JSONResponse([" ".join(["ran", *taken()])])

    return Starlette(routes=[Route("/graphql", layer), Route("/ran", ran)])
