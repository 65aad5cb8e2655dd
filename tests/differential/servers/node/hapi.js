// hapi, as it comes.
const Hapi = require("@hapi/hapi");
const report = require("./report");
const routes = require("./routes");

const server = Hapi.server({ host: "127.0.0.1", port: Number(process.argv[3]) });
const answer = (handler) => (request, toolkit) =>
  toolkit
    .response(report(handler, request.method.toUpperCase(), request.params, request.query, request.raw.req, request.url.href))
    .code(handler === "none" ? 404 : 200);

const app = {};
for (const method of ["get", "post", "put", "patch", "delete", "all"])
  app[method] = (path, handler) =>
    server.route({ method: method === "all" ? "*" : method, path: path.replace(/:(\w+)/g, "{$1}").replace("*", "{rest*}"), handler });
routes(app, "*", answer);
server.route({ method: "*", path: "/{any*}", handler: answer("none") });
server.start();
