"""The routes of routers.rs on Django REST framework: view sets on its default router, which take a format off the path."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

from report import report

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="not one",
)
django.setup()

from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.urlpatterns import format_suffix_patterns
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet


def told(request, handler, params):
    # Of the body, too, which `data` reads apart from the query.
    request.data
    query = [(name, value) for name, values in request.query_params.lists() for value in values]
    headers = list(request.headers.items())
    return report(handler, request.method, params, query, headers, request.COOKIES, request.get_full_path())


class Docs(ViewSet):
    # With versions, which the default takes for formats.
    lookup_value_regex = r"[^/.]+(?:\.[0-9]+)*"

    def create(self, request, format=None):
        return Response(told(request, "docs.create", {}))

    def retrieve(self, request, pk, format=None):
        return Response(told(request, "docs.get", {"id": pk}))

    def update(self, request, pk, format=None):
        return Response(told(request, "docs.update", {"id": pk}))

    def partial_update(self, request, pk, format=None):
        return Response(told(request, "docs.update", {"id": pk}))

    def destroy(self, request, pk, format=None):
        return Response(told(request, "docs.delete", {"id": pk}))


class Search(ViewSet):
    def list(self, request, format=None):
        return Response(told(request, "search", {}))

    def create(self, request, format=None):
        return Response(told(request, "search", {}))


class Public(ViewSet):
    lookup_value_regex = ".+"

    def retrieve(self, request, pk, format=None):
        return Response(told(request, "public.get", {"rest": pk}))

    def destroy(self, request, pk, format=None):
        return Response(told(request, "public.delete", {"name": pk}))


class Orgs(ViewSet):
    @action(detail=True, methods=["get", "post", "put", "patch", "delete"])
    def x(self, request, pk, format=None):
        return Response(told(request, "orgs", {"org": pk}))


class View(APIView):
    handler = None

    def get(self, request, format=None, **params):
        return Response(told(request, self.handler, params))


class Admin(View):
    handler = "admin"
    post = put = patch = delete = View.get


def not_found(request, exception=None):
    # What the router sends away is no handler's.
    headers = list(request.headers.items())
    query = [(name, value) for name, values in request.GET.lists() for value in values]
    return JsonResponse(
        report("none", request.method, {}, query, headers, request.COOKIES, request.get_full_path()), status=404
    )


router = DefaultRouter(trailing_slash=False)
for prefix, views in {"docs": Docs, "search": Search, "public": Public, "orgs": Orgs}.items():
    router.register(prefix, views, basename=prefix)
urlpatterns = format_suffix_patterns(
    [
        path("", View.as_view(handler="root")),
        path("health", View.as_view(handler="health")),
        path("typed", View.as_view(handler="typed")),
        path("admin/<path:rest>", Admin.as_view()),
    ]
)
urlpatterns += router.urls
handler404 = not_found
wsgi = get_wsgi_application()
