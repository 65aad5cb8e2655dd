# What a handler says of its request (see routers.rs).
def report(handler, request, params)
  texts = ->(value) { value.respond_to?(:values) ? value.values.flat_map(&texts) : Array(value).map(&:to_s) }
  header = ->(name) { request.env["HTTP_#{name.tr("-", "_").upcase}"] }
  query = Rack::Utils.parse_nested_query(request.env["QUERY_STRING"])
  {
    handler: handler,
    method: request.request_method,
    params: { id: params["id"], org: params["org"] },
    hydrate: params.key?("hydrate") ? texts.(params["hydrate"]) : nil,
    types: texts.(params["type"]),
    type: header.("x-type"),
    account: header.("x-account-id"),
    key: header.("x-key-id"),
    credentials: [header.("authorization"), header.("x-api-key"), query["api_key"], request.cookies["api_key"]].compact,
    connection: header.("connection"),
    url: request.fullpath,
    query: query,
    headers: request.env.select { |name, _| name.start_with?("HTTP_") },
  }
end
