// POST /documents: an array of {query, operationName}, answered with what each made of it (see graphql.rs).
const { readFileSync } = require("fs");
const http = require("http");
const graphql = require("graphql");

const schema = graphql.buildSchema(readFileSync(`${__dirname}/../schema.graphql`, "utf8"));
let ran;

function label(type, name, path, isComposite) {
  if (name === "__schema" || name === "__type") return name;
  if (path.prev) return isComposite ? `.${name}` : null;
  return type === "Mutation" ? `mutation.${name}` : name;
}

function resolve(_source, _arguments, _context, info) {
  const type = graphql.getNamedType(info.returnType);
  const isComposite = graphql.isCompositeType(type);
  const name = label(info.parentType.name, info.fieldName, info.path, isComposite);
  if (name) ran.add(name);
  return isComposite ? {} : "x";
}

for (const type of Object.values(schema.getTypeMap())) {
  if (!graphql.isObjectType(type) || type.name.startsWith("__")) continue;
  for (const field of Object.values(type.getFields())) field.resolve = resolve;
}
for (const field of [graphql.SchemaMetaFieldDef, graphql.TypeMetaFieldDef]) {
  const original = field.resolve;
  field.resolve = (...values) => {
    ran.add(field.name);
    return original(...values);
  };
}

// The fields that stand in the document, for one that does not validate.
function read(document, operationName) {
  const names = new Set();
  const fragments = new Map();
  for (const definition of document.definitions) {
    if (definition.kind === "FragmentDefinition") fragments.set(definition.name.value, definition);
  }
  const collect = (set, type, path, spread) => {
    for (const selection of set.selections) {
      if (selection.kind === "Field") {
        const name = label(type, selection.name.value, path, selection.selectionSet);
        if (name) names.add(name);
        if (selection.selectionSet) collect(selection.selectionSet, "", { prev: path }, spread);
      } else if (selection.kind === "InlineFragment") {
        collect(selection.selectionSet, type, path, spread);
      } else {
        const name = selection.name.value;
        const fragment = fragments.get(name);
        if (fragment && !spread.includes(name)) collect(fragment.selectionSet, type, path, [...spread, name]);
      }
    }
  };
  for (const definition of document.definitions) {
    if (definition.kind !== "OperationDefinition") continue;
    if (operationName && definition.name?.value !== operationName) continue;
    collect(definition.selectionSet, definition.operation === "mutation" ? "Mutation" : "Query", {}, []);
  }
  return names;
}

function judge({ query, operationName }) {
  let document;
  try {
    document = graphql.parse(query);
  } catch {
    return "";
  }
  if (graphql.validate(schema, document).length) return ["read", ...read(document, operationName)].join(" ");
  ran = new Set();
  graphql.executeSync({ schema, document, operationName });
  return ["ran", ...ran].join(" ");
}

http
  .createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const answer = JSON.stringify(JSON.parse(Buffer.concat(chunks)).map(judge));
      response.writeHead(200, { "content-length": Buffer.byteLength(answer) }).end(answer);
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
