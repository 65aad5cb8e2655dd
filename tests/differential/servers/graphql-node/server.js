// GraphQL over HTTP as servers on Node read it: POST and GET /graphql. GET /ran tells what has run since it was last asked.
const [, , name, port] = process.argv;
const http = require("http");
const express = require("express");
const { schema, ran } = require("../graphql-js/schema").recording(require("graphql"));

const app = express();
app.get("/ran", (_request, response) => response.json([["ran", ...ran()].join(" ")]));

// Each as the documentation of its server first shows it, batches allowed where there is a setting for them.
const layers = {
  apollo: async () => {
    const { ApolloServer } = require("@apollo/server");
    const { expressMiddleware } = require("@apollo/server/express4");
    const server = new ApolloServer({ schema, allowBatchedHttpRequests: true, introspection: true });
    await server.start();
    app.use("/graphql", express.json(), expressMiddleware(server));
  },
  "graphql-http": async () => {
    app.all("/graphql", require("graphql-http/lib/use/express").createHandler({ schema }));
  },
  "graphql-yoga": async () => {
    app.use("/graphql", require("graphql-yoga").createYoga({ schema, batching: true, logging: false }));
  },
};
layers[name]().then(() => http.createServer(app).listen(Number(port), "127.0.0.1"));
