// Documents on two versions; what either does counts. POST /print answers with how they print each.
const http = require("http");
const { label, recording } = require("./schema");

const libraries = [require("graphql"), require("graphql16")];
const judges = libraries.map(judgeOf);

function judgeOf(graphql) {
  const { schema, ran } = recording(graphql);
  return ({ query, operationName }) => {
    let document;
    try {
      document = graphql.parse(query);
    } catch {
      return "";
    }
    if (graphql.validate(schema, document).length) return ["read", ...read(document, operationName)].join(" ");
    graphql.execute({ schema, document, operationName });
    return ["ran", ...ran()].join(" ");
  };
}

// The fields that stand in the operation, for a document that does not validate.
function read(document, operationName) {
  const names = new Set();
  const fragments = new Map();
  for (const definition of document.definitions) {
    if (definition.kind === "FragmentDefinition") fragments.set(definition.name.value, definition);
  }
  const collect = (set, type, isRoot, spread) => {
    for (const selection of set.selections) {
      if (selection.kind === "Field") {
        const name = label(type, selection.name.value, isRoot, selection.selectionSet);
        if (name) names.add(name);
        if (selection.selectionSet) collect(selection.selectionSet, type, false, spread);
      } else if (selection.kind === "InlineFragment") {
        collect(selection.selectionSet, type, isRoot, spread);
      } else {
        const name = selection.name.value;
        const fragment = fragments.get(name);
        if (fragment && !spread.includes(name)) collect(fragment.selectionSet, type, isRoot, [...spread, name]);
      }
    }
  };
  for (const definition of document.definitions) {
    if (definition.kind !== "OperationDefinition") continue;
    if (operationName && definition.name?.value !== operationName) continue;
    collect(definition.selectionSet, definition.operation === "mutation" ? "Mutation" : "Query", true, []);
  }
  return names;
}

// Of two answers the one that says more, should they differ; what ran goes before what was read.
function judge(document) {
  const answers = judges.map((one) => one(document));
  return answers.reduce((one, other) => (one === other ? one : `${one || "read"} ${other.split(" ").slice(1).join(" ")}`.trim()));
}

// As the clients of each version send a document: printed, and without what is ignored.
function print({ query }) {
  return JSON.stringify(
    libraries.flatMap((graphql) => [graphql.print(graphql.parse(query)), graphql.stripIgnoredCharacters(query)]),
  );
}

http
  .createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const answer = JSON.stringify(JSON.parse(Buffer.concat(chunks)).map(request.url === "/print" ? print : judge));
      response.writeHead(200, { "content-length": Buffer.byteLength(answer) }).end(answer);
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
