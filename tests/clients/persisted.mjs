// Asks for a query by its hash, as Apollo Client and urql do, through the gateway whose address comes on standard input.
// Behind the gateway stands graphql-js, here on the port that is printed first. Then one line of JSON for each question: the
// statuses that the client got, what it made of them, and the requests that graphql-js saw.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { buildSchema, graphql } from "graphql";

const schema = buildSchema(`
  type Query { item: Item, secret: Item }
  type Mutation { item: Item }
  type Item { id: ID, name: String }
`);
const item = () => ({ id: "1", name: "one" });
const upstream = { seen: [] };

const server = createServer(async (request, response) => {
  let body = "";
  try {
    for await (const piece of request) body += piece;
  } catch {
    return; // Its headers went ahead, and its body was refused.
  }
  const { searchParams } = new URL(request.url, "http://upstream");
  const asked = request.method === "GET" ? Object.fromEntries(searchParams) : JSON.parse(body);
  if (typeof asked.extensions === "string") asked.extensions = JSON.parse(asked.extensions);
  upstream.seen.push({ method: request.method, hasText: Boolean(asked.query), persisted: asked.extensions?.persistedQuery });
  const result = await graphql({ schema, source: asked.query, rootValue: { item, secret: item } });
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(result));
});

const QUERY = gql`query Item { item { id name } }`;
const OTHER = gql`query Other { item { name } }`;
const SECRET = gql`query Secret { secret { id } }`;
const MUTATION = gql`mutation Change { item { id } }`;

const taken = ({ data, error }) => (error ? { error: error.message } : { data });

const clients = {
  apollo: (gateway, options) => apollo(gateway, options, { useGETForHashedQueries: false }),
  "apollo, GET": (gateway, options) => apollo(gateway, options, { useGETForHashedQueries: true }),
  urql: (gateway, options) => urql(gateway, options, { preferGetForPersistedQueries: false, enableForMutation: true }),
  "urql, GET": (gateway, options) => urql(gateway, options, { preferGetForPersistedQueries: true, enableForMutation: true }),
};

function apollo(uri, options, persisted) {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const link = new PersistedQueryLink({ sha256, ...persisted }).concat(new HttpLink({ uri, ...options }));
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return async (document) =>
    taken(
      document === MUTATION
        ? await client.mutate({ mutation: document })
        : await client.query({ query: document, fetchPolicy: "network-only" }),
    );
}

function urql(url, { fetch, headers }, persisted) {
  const exchanges = [persistedExchange(persisted), fetchExchange];
  const client = new Client({ url, exchanges, fetch, fetchOptions: { headers }, preferGetMethod: false });
  return async (document) =>
    taken(await (document === MUTATION ? client.mutation(document, {}) : client.query(document, {})).toPromise());
}

async function ask(gateway, token) {
  for (const [name, client] of Object.entries(clients)) {
    let statuses = [];
    const counted = async (...request) => {
      const response = await fetch(...request);
      statuses.push(response.status);
      return response;
    };
    const question = client(gateway, { fetch: counted, headers: { authorization: `Bearer ${token}` } });
    for (const [kind, document] of Object.entries({ QUERY, OTHER, MUTATION, SECRET })) {
      statuses = [];
      upstream.seen = [];
      const answer = await question(document).catch((error) => ({ error: error.message }));
      console.log(JSON.stringify({ client: name, kind, statuses, answer, seen: upstream.seen }));
    }
  }
}

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
for await (const line of createInterface({ input: process.stdin })) {
  const [gateway, token] = line.split(" ");
  await ask(gateway, token);
  console.log("done");
}
process.exit();
