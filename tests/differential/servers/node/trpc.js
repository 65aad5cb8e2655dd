// tRPC with its two procedures, and none of the routes, behind the Express that its adapter is for. That is told to keep
// the case of letters, which is Express's own.
const express = require("express4");
const { initTRPC } = require("@trpc/server");
const { createExpressMiddleware } = require("@trpc/server/adapters/express");
const report = require("./report");

const t = initTRPC.context().create();
const procedure = (name) => t.procedure.query(({ ctx }) => ctx.ran.push(name));
const router = t.router({ post: t.router({ list: procedure("post.list") }), admin: t.router({ wipe: procedure("admin.wipe") }) });

const app = express();
app.enable("case sensitive routing");
app.use("/trpc", (request, response, next) => {
  const { method, originalUrl } = request;
  const ran = [];
  const middleware = createExpressMiddleware({ router, allowMethodOverride: true, createContext: () => ({ ran }) });
  // In place of tRPC's answer stands what ran, if something did.
  const end = response.end.bind(response);
  response.write = () => true;
  response.end = () => {
    response.writeHead(ran.length > 0 ? 200 : 404, { "content-type": "application/json" });
    const query = Object.fromEntries(new URL(originalUrl, "http://a").searchParams);
    return end(ran.length > 0 ? JSON.stringify({ ...report("trpc", method, {}, query, request, originalUrl), ran }) : "");
  };
  middleware(request, response, next);
});
app.listen(Number(process.argv[3]), "127.0.0.1");
