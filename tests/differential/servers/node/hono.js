// Hono on Node, with its middleware for methods in the ways that its documentation shows.
const { serve } = require("@hono/node-server");
const { Hono } = require("hono");
const { methodOverride } = require("hono/method-override");
const report = require("./report");
const routes = require("./routes");

const answer = (handler) => (context) => {
  const request = context.env.incoming ?? context.env;
  return context.json(report(handler, context.req.method, context.req.param(), context.req.queries(), request, context.req.url), handler === "none" ? 404 : 200);
};

const app = new Hono();
for (const by of [{}, { header: "x-http-method-override" }, { query: "_method" }]) app.use("*", methodOverride({ app, ...by }));
routes(app, "*", answer);
app.notFound(answer("none"));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(process.argv[3]) });
