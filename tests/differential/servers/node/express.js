// The routes of routers.rs, and the middleware that its README shows first.
const [, , name, port] = process.argv;
const express = require(name);
const methodOverride = require("method-override");
const report = require("./report");

const app = express();
app.set("query parser", "extended");
for (const header of ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"]) app.use(methodOverride(header));

const rest = name === "express4" ? "*" : "*rest";
const answer = (handler) => (request, response) => {
  response.status(handler === "none" ? 404 : 200);
  const { method, params, query } = request;
  response.json(report(handler, method, params, query, request, request.originalUrl));
};

app.get("/", answer("root"));
app.get("/health", answer("health"));
app.post("/docs", answer("docs.create"));
app.get("/docs/:id", answer("docs.get"));
app.put("/docs/:id", answer("docs.update"));
app.patch("/docs/:id", answer("docs.update"));
app.delete("/docs/:id", answer("docs.delete"));
app.get("/admin/users", answer("admin"));
app.all(`/admin/${rest}`, answer("admin"));
app.get("/search", answer("search"));
app.post("/search", answer("search"));
app.all("/orgs/:org/x", answer("orgs"));
app.delete("/public/:name", answer("public.delete"));
app.get(`/public/${rest}`, answer("public.get"));
app.get("/typed", answer("typed"));
app.use(answer("none"));
app.listen(Number(port), "127.0.0.1");
