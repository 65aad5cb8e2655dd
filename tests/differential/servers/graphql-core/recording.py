"""The schema with resolvers that note what runs, and how fields are told of: see graphql.rs."""

from pathlib import Path

import graphql
from graphql.type.introspection import SchemaMetaFieldDef, TypeMetaFieldDef

schema = graphql.build_schema((Path(__file__).parent.parent / "schema.graphql").read_text())
ran = {}


def label(type_name, name, is_root, is_composite):
    if name in ("__schema", "__type"):
        return name
    if not is_root:
        return "." + name if is_composite else None
    return "mutation." + name if type_name == "Mutation" else name


def resolve(_source, info, **_arguments):
    is_composite = graphql.is_composite_type(graphql.get_named_type(info.return_type))
    name = label(info.parent_type.name, info.field_name, info.path.prev is None, is_composite)
    if name:
        ran[name] = True
    return {} if is_composite else "x"


def recorded(name, original):
    def resolve_meta(*values, **arguments):
        ran[name] = True
        return original(*values, **arguments)

    return resolve_meta


for kind in schema.type_map.values():
    if graphql.is_object_type(kind) and not kind.name.startswith("__"):
        for field in kind.fields.values():
            field.resolve = resolve
for name, field in (("__schema", SchemaMetaFieldDef), ("__type", TypeMetaFieldDef)):
    field.resolve = recorded(name, field.resolve)


def taken():
    """What has run since the last call."""
    names = list(ran)
    ran.clear()
    return names
