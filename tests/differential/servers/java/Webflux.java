package latchkey;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import latchkey.Report.Search;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.embedded.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.reactive.server.ReactiveWebServerFactory;
import org.springframework.context.annotation.Bean;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.*;
import org.springframework.web.server.ServerWebExchange;

/** The routes of routers.rs on Spring WebFlux, on Netty, with the filter for hidden methods. */
@EnableAutoConfiguration
@RestController
public class Webflux {
    static void main(String port) {
        SpringApplication application = new SpringApplication(Webflux.class);
        application.setWebApplicationType(WebApplicationType.REACTIVE);
        application.run(
            "--server.address=127.0.0.1",
            "--server.port=" + port,
            "--spring.webflux.hiddenmethod.filter.enabled=true",
            "--logging.level.root=warn",
            "--spring.main.banner-mode=off");
    }

    @Bean
    ReactiveWebServerFactory server() {
        return new NettyReactiveWebServerFactory();
    }

    @GetMapping("/")
    Object root(ServerWebExchange exchange) {
        return report("root", exchange, Map.of());
    }

    @GetMapping("/health")
    Object health(ServerWebExchange exchange) {
        return report("health", exchange, Map.of());
    }

    @PostMapping("/docs")
    Object create(ServerWebExchange exchange) {
        return report("docs.create", exchange, Map.of());
    }

    @GetMapping("/docs/{id}")
    Object read(ServerWebExchange exchange, @PathVariable String id) {
        return report("docs.get", exchange, Map.of("id", id));
    }

    @RequestMapping(path = "/docs/{id}", method = {RequestMethod.PUT, RequestMethod.PATCH})
    Object update(ServerWebExchange exchange, @PathVariable String id) {
        return report("docs.update", exchange, Map.of("id", id));
    }

    @DeleteMapping("/docs/{id}")
    Object delete(ServerWebExchange exchange, @PathVariable String id) {
        return report("docs.delete", exchange, Map.of("id", id));
    }

    @RequestMapping({"/admin/users", "/admin/{*rest}"})
    Object admin(ServerWebExchange exchange) {
        return report("admin", exchange, Map.of());
    }

    @RequestMapping(path = "/search", method = {RequestMethod.GET, RequestMethod.POST})
    Object search(
            ServerWebExchange exchange,
            @RequestParam(required = false) String hydrate,
            @RequestParam(name = "type[]", required = false) List<String> types,
            @ModelAttribute Search bound) {
        List<String> listed = types == null ? List.of() : types;
        return report("search", exchange, Map.of(), Arrays.asList(hydrate, bound.getHydrate()), listed);
    }

    @RequestMapping("/orgs/{org}/x")
    Object orgs(ServerWebExchange exchange, @PathVariable String org) {
        return report("orgs", exchange, Map.of("org", org));
    }

    @DeleteMapping("/public/{name}")
    Object deletePublic(ServerWebExchange exchange, @PathVariable String name) {
        return report("public.delete", exchange, Map.of("name", name));
    }

    @GetMapping("/public/{*rest}")
    Object readPublic(ServerWebExchange exchange, @PathVariable String rest) {
        return report("public.get", exchange, Map.of("rest", rest));
    }

    @GetMapping("/typed")
    Object typed(ServerWebExchange exchange) {
        return report("typed", exchange, Map.of());
    }

    @RequestMapping("/**")
    Object none(ServerWebExchange exchange) {
        return ResponseEntity.status(404).body(report("none", exchange, Map.of()));
    }

    private static Map<String, Object> report(String handler, ServerWebExchange exchange, Map<String, String> params) {
        return report(handler, exchange, params, List.of(), List.of());
    }

    private static Map<String, Object> report(
            String handler, ServerWebExchange exchange, Map<String, String> params, List<String> hydrate, List<String> types) {
        var request = exchange.getRequest();
        Map<String, List<String>> headers = new TreeMap<>();
        request.getHeaders().forEach((name, values) -> headers.put(name.toLowerCase(), values));
        List<String> credentials = new ArrayList<>();
        request.getCookies().getOrDefault("api_key", List.of()).forEach(cookie -> credentials.add(cookie.getValue()));
        String method = request.getMethod().name();
        return Report.of(handler, method, params, hydrate, types, request.getURI().toString(), request.getQueryParams(), headers, credentials);
    }
}
