// What a handler says of its request (see routers.rs).
const texts = (value) => (value && typeof value === "object" ? Object.values(value).flatMap(texts) : value === undefined ? [] : [String(value)]);

module.exports = (handler, method, params, query, request, url) => ({
  handler,
  method,
  params,
  hydrate: "hydrate" in query ? texts(query.hydrate) : null,
  types: [...texts(query.type), ...texts(query["type[]"])],
  type: request.headers["x-type"] ?? null,
  account: request.headers["x-account-id"] ?? null,
  key: request.headers["x-key-id"] ?? null,
  credentials: [request.headers.authorization, request.headers["x-api-key"], ...texts(query.api_key)].filter(Boolean),
  connection: request.headers.connection ?? null,
  url,
  query,
  headers: request.rawHeaders,
  trailers: request.rawTrailers,
});
