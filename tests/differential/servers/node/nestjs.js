// NestJS on Express, its decorators called as TypeScript calls them.
require("reflect-metadata");
const common = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const methodOverride = require("method-override");
const report = require("./report");
const routes = require("./routes");

class Controller {}
const decorated = {};
let count = 0;
for (const [method, route] of Object.entries({ get: common.Get, post: common.Post, put: common.Put, patch: common.Patch, delete: common.Delete, all: common.All }))
  decorated[method] = (path, handler) => {
    const name = `handler${count++}`;
    Controller.prototype[name] = handler;
    common.Req()(Controller.prototype, name, 0);
    common.Query()(Controller.prototype, name, 1);
    common.Res()(Controller.prototype, name, 2);
    route(path)(Controller.prototype, name, Object.getOwnPropertyDescriptor(Controller.prototype, name));
  };
const answer = (handler) => (request, query, response) =>
  response
    .status(handler === "none" ? 404 : 200)
    .json(report(handler, request.method, request.params, query, request, request.originalUrl));
routes(decorated, "*rest", answer);
decorated.all("*any", answer("none"));
common.Controller()(Controller);

class Module {}
common.Module({ controllers: [Controller] })(Module);
NestFactory.create(Module, { logger: false }).then((app) => {
  app.set("query parser", "extended");
  app.useBodyParser("urlencoded", { extended: true });
  app.use(methodOverride("X-HTTP-Method-Override"), methodOverride("_method"));
  app.use(methodOverride((request) => request.body && typeof request.body === "object" && request.body._method));
  return app.listen(Number(process.argv[3]), "127.0.0.1");
});
