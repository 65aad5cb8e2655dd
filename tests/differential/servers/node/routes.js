// The routes of routers.rs, on an application with a method for each of HTTP's; `rest` is how it writes the rest of a path.
module.exports = (app, rest, answer) => {
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
};
