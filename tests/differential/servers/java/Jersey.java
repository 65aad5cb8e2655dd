package latchkey;

import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.ws.rs.container.ContainerRequestContext;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.net.URI;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.glassfish.jersey.grizzly2.httpserver.GrizzlyHttpServerFactory;
import org.glassfish.jersey.process.Inflector;
import org.glassfish.jersey.server.ResourceConfig;
import org.glassfish.jersey.server.filter.HttpMethodOverrideFilter;
import org.glassfish.jersey.server.model.Resource;

/** The routes of routers.rs on Jersey, on Grizzly, with the filter for methods. */
final class Jersey {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> METHODS = List.of("GET", "POST", "PUT", "PATCH", "DELETE");

    private Jersey() {}

    static void main(String port) {
        Logger.getLogger("org.glassfish").setLevel(Level.WARNING);
        ResourceConfig config = new ResourceConfig();
        HttpMethodOverrideFilter.enableFor(config);
        for (Report.Route route : Report.ROUTES) {
            String path = route.path().replace("{rest}", "{rest: .+}");
            add(config, path, route.methods().isEmpty() ? METHODS : route.methods(), route.handler());
        }
        add(config, "/{rest: .*}", METHODS, "none");
        GrizzlyHttpServerFactory.createHttpServer(URI.create("http://127.0.0.1:" + port + "/"), config);
    }

    private static void add(ResourceConfig config, String path, List<String> methods, String handler) {
        Resource.Builder resource = Resource.builder(path);
        // A lambda would not tell Jersey what it takes.
        Inflector<ContainerRequestContext, Response> answer = new Inflector<>() {
            @Override
            public Response apply(ContainerRequestContext request) {
                return Jersey.answer(handler, request);
            }
        };
        for (String method : methods) resource.addMethod(method).handledBy(answer);
        config.registerResources(resource.build());
    }

    private static Response answer(String handler, ContainerRequestContext request) {
        var uri = request.getUriInfo();
        Map<String, List<String>> query = new LinkedHashMap<>(uri.getQueryParameters());
        Map<String, List<String>> headers = new LinkedHashMap<>();
        request.getHeaders().forEach((name, values) -> headers.put(name.toLowerCase(), values));
        Map<String, String> params = new LinkedHashMap<>();
        uri.getPathParameters().forEach((name, values) -> params.put(name, values.get(0)));
        List<String> credentials = new ArrayList<>();
        var cookie = request.getCookies().get("api_key");
        if (cookie != null) credentials.add(cookie.getValue());
        List<String> hydrate = query.getOrDefault("hydrate", List.of());
        List<String> types = query.getOrDefault("type[]", List.of());
        Map<String, Object> report = Report.of(
            handler, request.getMethod(), params, hydrate, types, uri.getRequestUri().toString(), query, headers, credentials);
        try {
            int status = handler.equals("none") ? 404 : 200;
            return Response.status(status).type(MediaType.APPLICATION_JSON).entity(JSON.writeValueAsString(report)).build();
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
