// What a handler says of its request (see routers.rs). `more` is what the framework's handlers take for parameters beside the query.
const texts = (value) => (value && typeof value === "object" ? Object.values(value).flatMap(texts) : value === undefined ? [] : [String(value)]);

module.exports = (handler, method, params, query, request, url, more = {}) => ({
  handler,
  method,
  params,
  hydrate: "hydrate" in query || "hydrate" in more ? [...texts(query.hydrate), ...texts(more.hydrate)] : null,
  types: [query.type, query["type[]"], more.type, more["type[]"]].flatMap(texts),
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
