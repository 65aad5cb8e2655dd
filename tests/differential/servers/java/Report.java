package latchkey;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A request as a framework tells it (see routers.rs). */
final class Report {
    /** The routes: their methods, none standing for all, and their handlers. */
    record Route(List<String> methods, String path, String handler) {}

    static final List<Route> ROUTES = List.of(
        new Route(List.of("GET"), "/", "root"),
        new Route(List.of("GET"), "/health", "health"),
        new Route(List.of("POST"), "/docs", "docs.create"),
        new Route(List.of("GET"), "/docs/{id}", "docs.get"),
        new Route(List.of("PUT", "PATCH"), "/docs/{id}", "docs.update"),
        new Route(List.of("DELETE"), "/docs/{id}", "docs.delete"),
        new Route(List.of(), "/admin/{rest}", "admin"),
        new Route(List.of("GET", "POST"), "/search", "search"),
        new Route(List.of(), "/orgs/{org}/x", "orgs"),
        new Route(List.of("DELETE"), "/public/{name}", "public.delete"),
        new Route(List.of("GET"), "/public/{rest}", "public.get"),
        new Route(List.of("GET"), "/typed", "typed"));

    private Report() {}

    /** What is bound to it is read as a parameter. */
    public static class Search {
        private String hydrate;

        public String getHydrate() {
            return hydrate;
        }

        public void setHydrate(String hydrate) {
            this.hydrate = hydrate;
        }
    }

    /**
     * @param hydrate what each way of reading gave, null for nothing
     * @param query the parameters, by name
     */
    static Map<String, Object> of(
            String handler,
            String method,
            Map<String, String> params,
            List<String> hydrate,
            List<String> types,
            String url,
            Map<String, List<String>> query,
            Map<String, List<String>> headers,
            List<String> cookies) {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("handler", handler);
        report.put("method", method);
        report.put("params", params);
        List<String> values = hydrate.stream().filter(Objects::nonNull).toList();
        report.put("hydrate", values.isEmpty() ? null : values);
        report.put("types", types);
        report.put("type", joined(headers, "x-type"));
        report.put("account", joined(headers, "x-account-id"));
        report.put("key", joined(headers, "x-key-id"));
        List<String> credentials = new ArrayList<>(cookies);
        for (String name : List.of("authorization", "x-api-key")) credentials.addAll(headers.getOrDefault(name, List.of()));
        credentials.addAll(query.getOrDefault("api_key", List.of()));
        report.put("credentials", credentials);
        report.put("connection", joined(headers, "connection"));
        report.put("url", url);
        report.put("query", query);
        report.put("headers", headers);
        return report;
    }

    private static String joined(Map<String, List<String>> headers, String name) {
        return headers.containsKey(name) ? String.join(",", headers.get(name)) : null;
    }
}
