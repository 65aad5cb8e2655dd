// Behind a proxy that names the handler: tells what has come through it.
const http = require("http");

const METHODS = { DELETE: "delete", GET: "get", HEAD: "get", OPTIONS: "get", PATCH: "update", POST: "create", PUT: "update" };

http
  .createServer((request, response) => {
    const { headers, method, rawHeaders: raw, url } = request;
    let handler = headers["x-told-handler"];
    if (handler === "docs" || handler === "public") handler += `.${METHODS[method] ?? "other"}`;
    const told = {
      handler,
      method,
      params: headers["x-told-org"] ? { org: headers["x-told-org"] } : {},
      hydrate: headers["x-told-hydrate"] ? [headers["x-told-hydrate"]] : null,
      types: null,
      type: headers["x-type"] ?? null,
      account: headers["x-account-id"] ?? null,
      key: headers["x-key-id"] ?? null,
      credentials: [headers.authorization, headers["x-api-key"]].filter(Boolean),
      connection: null,
      url,
      uri: headers["x-told-uri"],
      headers: raw,
    };
    request.resume().on("end", () => {
      response.writeHead(handler === "none" ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(told));
    });
  })
  .listen(process.argv[2]);
