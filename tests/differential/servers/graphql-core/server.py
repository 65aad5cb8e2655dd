"""Documents on graphql-core."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import graphql

from recording import label, schema, taken


def read(document, operation_name):
    """The fields that stand in the operation, for a document that does not validate."""
    names = {}
    fragments = {one.name.value: one for one in document.definitions if one.kind == "fragment_definition"}

    def collect(selections, type_name, is_root, spread):
        for selection in selections.selections:
            if selection.kind == "field":
                name = label(type_name, selection.name.value, is_root, selection.selection_set)
                if name:
                    names[name] = True
                if selection.selection_set:
                    collect(selection.selection_set, type_name, False, spread)
            elif selection.kind == "inline_fragment":
                collect(selection.selection_set, type_name, is_root, spread)
            else:
                name = selection.name.value
                if name in fragments and name not in spread:
                    collect(fragments[name].selection_set, type_name, is_root, spread + [name])

    for one in document.definitions:
        if one.kind == "operation_definition" and (
            not operation_name or (one.name and one.name.value == operation_name)
        ):
            type_name = "Mutation" if one.operation.value == "mutation" else "Query"
            collect(one.selection_set, type_name, True, [])
    return names


def judge(asked):
    operation_name = asked.get("operationName")
    try:
        document = graphql.parse(asked["query"])
    except graphql.GraphQLError:
        return ""
    if graphql.validate(schema, document):
        return " ".join(["read", *read(document, operation_name)])
    graphql.execute(schema, document, operation_name=operation_name)
    return " ".join(["ran", *taken()])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps([judge(asked) for asked in json.loads(body)]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_values):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
