"""The routes of routers.rs, under WSGI and ASGI."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from report import report

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="not one")
django.setup()


def answer(request, handler, params, status=200):
    query = [(name, value) for name, values in request.GET.lists() for value in values]
    headers = list(request.headers.items())
    told = report(handler, request.method, params, query, headers, request.COOKIES, request.get_full_path())
    return JsonResponse(told, status=status)


def view(handlers):
    """`handlers` are those of each method, `*` standing for every other one."""

    @csrf_exempt
    def answered(request, **params):
        handler = handlers.get(request.method, handlers.get("*"))
        return answer(request, handler or "none", params, 200 if handler else 405)

    return answered


def not_found(request, exception=None):
    return answer(request, "none", {}, 404)


DOCS = {"GET": "docs.get", "PUT": "docs.update", "PATCH": "docs.update", "DELETE": "docs.delete"}
urlpatterns = [
    path("", view({"GET": "root"})),
    path("health", view({"GET": "health"})),
    path("docs", view({"POST": "docs.create"})),
    path("docs/<id>", view(DOCS)),
    path("admin/users", view({"*": "admin"})),
    path("admin/<path:rest>", view({"*": "admin"})),
    path("search", view({"GET": "search", "POST": "search"})),
    path("orgs/<org>/x", view({"*": "orgs"})),
    path("public/<path:rest>", view({"GET": "public.get", "DELETE": "public.delete"})),
    path("typed", view({"GET": "typed"})),
]
handler404 = not_found

asgi = get_asgi_application()
wsgi = get_wsgi_application()
