// tRPC with its two procedures, and none of the routes.
const http = require("node:http");
const { initTRPC } = require("@trpc/server");
const { createHTTPHandler } = require("@trpc/server/adapters/standalone");
const report = require("./report");

const t = initTRPC.context().create();
const procedure = (name) => t.procedure.query(({ ctx }) => ctx.ran.push(name));
const router = t.router({ post: t.router({ list: procedure("post.list") }), admin: t.router({ wipe: procedure("admin.wipe") }) });

http
  .createServer((request, response) => {
    const { method, url } = request;
    const ran = [];
    const handler = createHTTPHandler({ router, basePath: "/trpc/", allowMethodOverride: true, createContext: () => ({ ran }) });
    // In place of tRPC's answer stands what ran, if something did.
    const end = response.end.bind(response);
    response.write = () => true;
    response.end = () => {
      response.writeHead(ran.length > 0 ? 200 : 404, { "content-type": "application/json" });
      const query = Object.fromEntries(new URL(url, "http://a").searchParams);
      return end(ran.length > 0 ? JSON.stringify({ ...report("trpc", method, {}, query, request, url), ran }) : "");
    };
    handler(request, response);
  })
  .listen(Number(process.argv[3]), "127.0.0.1");
