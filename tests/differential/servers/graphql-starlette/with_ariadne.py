"""Ariadne, with GET allowed."""

import sys

from ariadne.asgi import GraphQL

from report import app_of

sys.path.append("../graphql-core")
from recording import schema, taken

app = app_of(GraphQL(schema, execute_get_queries=True), taken)
