"""Strawberry, which takes its schema from classes, with batches allowed."""

import strawberry
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

from report import app_of

names = []


def taken():
    ran = list(names)
    names.clear()
    return ran


def noted(name):
    def resolver() -> str | None:
        names.append(name)
        return "x"

    return strawberry.field(resolver=resolver)


@strawberry.type
class Query:
    ok2 = noted("ok2")
    secret2 = noted("secret2")


@strawberry.type
class Mutation:
    ok2 = noted("mutation.ok2")
    secret2 = noted("mutation.secret2")


config = StrawberryConfig(batching_config={"max_operations": 10})
app = app_of(GraphQL(strawberry.Schema(Query, Mutation, config=config), multipart_uploads_enabled=True), taken)
