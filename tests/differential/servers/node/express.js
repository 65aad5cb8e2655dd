// Express, with the middleware for methods in the ways that its README shows: by header, in the query, and in a form.
// A search in Express 4 is read by `request.param`, too, which takes a body's fields.
const [, , name, port] = process.argv;
const express = require(name);
const methodOverride = require("method-override");
const multer = require("multer");
const report = require("./report");
const routes = require("./routes");

const app = express();
app.set("query parser", "extended");
app.use(express.urlencoded({ extended: true }), multer().none());
for (const header of ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"]) app.use(methodOverride(header));
app.use(methodOverride("_method"));
app.use(methodOverride((request) => request.body && typeof request.body === "object" && request.body._method));
app.use(express.json());

const answer = (handler) => (request, response) => {
  response.status(handler === "none" ? 404 : 200);
  const { method, params, query } = request;
  const hydrate = request.param && request.param("hydrate");
  const more = hydrate === undefined ? {} : { hydrate };
  response.json(report(handler, method, params, query, request, request.originalUrl, more));
};

routes(app, name === "express4" ? "*" : "*rest", answer);
app.use(answer("none"));
app.listen(Number(port), "127.0.0.1");
