// Fastify, as it comes.
const [, , name, port] = process.argv;
const app = require(name)();
const report = require("./report");
const routes = require("./routes");

const answer = (handler) => (request, reply) => {
  reply.status(handler === "none" ? 404 : 200);
  reply.send(report(handler, request.method, request.params ?? {}, request.query, request.raw, request.url));
};

// Whatever the body is, no handler reads it.
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", (_request, payload, done) => payload.on("data", () => {}).on("end", () => done(null)));

routes(app, "*", answer);
app.setNotFoundHandler(answer("none"));
app.listen({ host: "127.0.0.1", port: Number(port) });
