// The schema with resolvers that note what runs, and how fields are told of: see graphql.rs.
const { readFileSync } = require("fs");

const text = readFileSync(`${__dirname}/../schema.graphql`, "utf8");

function label(type, name, isRoot, isComposite) {
  if (name === "__schema" || name === "__type") return name;
  if (!isRoot) return isComposite ? `.${name}` : null;
  return type === "Mutation" ? `mutation.${name}` : name;
}

// The schema of a version of graphql-js, and a function for what has run since it was last called.
function recording(graphql) {
  const schema = graphql.buildSchema(text);
  let noted = new Set();

  function resolve(_source, _arguments, _context, info) {
    const isComposite = graphql.isCompositeType(graphql.getNamedType(info.returnType));
    const name = label(info.parentType.name, info.fieldName, !info.path.prev, isComposite);
    if (name) noted.add(name);
    return isComposite ? {} : "x";
  }

  for (const type of Object.values(schema.getTypeMap())) {
    if (!graphql.isObjectType(type) || type.name.startsWith("__")) continue;
    for (const field of Object.values(type.getFields())) field.resolve = resolve;
  }
  for (const field of [graphql.SchemaMetaFieldDef, graphql.TypeMetaFieldDef]) {
    const original = field.resolve;
    field.resolve = (...values) => {
      noted.add(field.name);
      return original(...values);
    };
  }

  const ran = () => {
    const taken = noted;
    noted = new Set();
    return taken;
  };
  return { schema, ran };
}

module.exports = { label, recording };
