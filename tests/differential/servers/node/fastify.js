// The routes of routers.rs.
const [, , name, port] = process.argv;
const app = require(name)();
const report = require("./report");

const answer = (handler) => (request, reply) => {
  reply.status(handler === "none" ? 404 : 200);
  reply.send(report(handler, request.method, request.params ?? {}, request.query, request.raw, request.url));
};

// Whatever the body is, no handler reads it.
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", (_request, payload, done) => payload.on("data", () => {}).on("end", () => done(null)));

app.get("/", answer("root"));
app.get("/health", answer("health"));
app.post("/docs", answer("docs.create"));
app.get("/docs/:id", answer("docs.get"));
app.put("/docs/:id", answer("docs.update"));
app.patch("/docs/:id", answer("docs.update"));
app.delete("/docs/:id", answer("docs.delete"));
app.get("/admin/users", answer("admin"));
app.all("/admin/*", answer("admin"));
app.get("/search", answer("search"));
app.post("/search", answer("search"));
app.all("/orgs/:org/x", answer("orgs"));
app.delete("/public/:name", answer("public.delete"));
app.get("/public/*", answer("public.get"));
app.get("/typed", answer("typed"));
app.setNotFoundHandler(answer("none"));
app.listen({ host: "127.0.0.1", port: Number(port) });
