// Express, with the middleware for methods that its README shows first.
const [, , name, port] = process.argv;
const express = require(name);
const methodOverride = require("method-override");
const report = require("./report");
const routes = require("./routes");

const app = express();
app.set("query parser", "extended");
for (const header of ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"]) app.use(methodOverride(header));

const answer = (handler) => (request, response) => {
  response.status(handler === "none" ? 404 : 200);
  const { method, params, query } = request;
  response.json(report(handler, method, params, query, request, request.originalUrl));
};

routes(app, name === "express4" ? "*" : "*rest", answer);
app.use(answer("none"));
app.listen(Number(port), "127.0.0.1");
