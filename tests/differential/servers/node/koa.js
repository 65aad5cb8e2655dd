// Koa with @koa/router and its parser of bodies.
const Koa = require("koa");
const Router = require("@koa/router");
const { bodyParser } = require("@koa/bodyparser");
const report = require("./report");
const routes = require("./routes");

const answer = (handler) => (context) => {
  context.status = handler === "none" ? 404 : 200;
  context.body = report(handler, context.method, context.params ?? {}, context.query, context.req, context.originalUrl);
};

const app = new Koa();
const router = new Router();
routes(router, "(.*)", answer);
app.use(bodyParser()).use(router.routes()).use(answer("none"));
app.listen(Number(process.argv[3]), "127.0.0.1");
