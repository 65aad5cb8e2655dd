"""What a handler says of its request (see routers.rs)."""


def report(handler, method, params, query, headers, cookies, url, hydrate=()):
    """`query` and `headers` are lists of pairs as the framework read them, `hydrate` is what else was read of that name."""

    def values(name):
        return [value for own, value in query if own == name]

    def header(name):
        own = [value for other, value in headers if other.lower() == name]
        return ",".join(own) if own else None

    return {
        "handler": handler,
        "method": method,
        "params": params,
        "hydrate": [*values("hydrate"), *(value for value in hydrate if value is not None)] or None,
        "types": values("type[]"),
        "type": header("x-type"),
        "account": header("x-account-id"),
        "key": header("x-key-id"),
        "credentials": [
            value
            for value in [header("authorization"), header("x-api-key"), *values("api_key"), cookies.get("api_key")]
            if value
        ],
        "connection": header("connection"),
        "url": url,
        "query": query,
        "headers": headers,
    }
