package latchkey;

import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServletRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import latchkey.Report.Search;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.websocket.servlet.WebSocketServletAutoConfiguration;
import org.springframework.boot.web.embedded.jetty.JettyServletWebServerFactory;
import org.springframework.boot.web.embedded.tomcat.TomcatServletWebServerFactory;
import org.springframework.boot.web.embedded.undertow.UndertowServletWebServerFactory;
import org.springframework.boot.web.servlet.server.ConfigurableServletWebServerFactory;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.*;

/**
 * The routes of routers.rs on Spring MVC with the filter for hidden methods. A search is read in two ways: by parameters, and
 * bound to an object.
 */
@EnableAutoConfiguration(exclude = WebSocketServletAutoConfiguration.class)
@RestController
public class Spring {
    static void main(String server, String port) {
        SpringApplication application = new SpringApplication(Spring.class);
        application.setWebApplicationType(WebApplicationType.SERVLET);
        application.run(
            "--server.address=127.0.0.1",
            "--server.port=" + port,
            "--latchkey.server=" + server,
            "--spring.mvc.hiddenmethod.filter.enabled=true",
            "--logging.level.root=warn",
            "--spring.main.banner-mode=off");
    }

    @Bean
    ConfigurableServletWebServerFactory server(Environment environment) {
        return switch (environment.getProperty("latchkey.server")) {
            case "spring-jetty" -> new JettyServletWebServerFactory();
            case "spring-tomcat" -> new TomcatServletWebServerFactory();
            default -> new UndertowServletWebServerFactory();
        };
    }

    @GetMapping("/")
    Object root(HttpServletRequest request) {
        return report("root", request, Map.of());
    }

    @GetMapping("/health")
    Object health(HttpServletRequest request) {
        return report("health", request, Map.of());
    }

    @PostMapping("/docs")
    Object create(HttpServletRequest request) {
        return report("docs.create", request, Map.of());
    }

    @GetMapping("/docs/{id}")
    Object read(HttpServletRequest request, @PathVariable String id) {
        return report("docs.get", request, Map.of("id", id));
    }

    @RequestMapping(path = "/docs/{id}", method = {RequestMethod.PUT, RequestMethod.PATCH})
    Object update(HttpServletRequest request, @PathVariable String id) {
        return report("docs.update", request, Map.of("id", id));
    }

    @DeleteMapping("/docs/{id}")
    Object delete(HttpServletRequest request, @PathVariable String id) {
        return report("docs.delete", request, Map.of("id", id));
    }

    @RequestMapping({"/admin/users", "/admin/{*rest}"})
    Object admin(HttpServletRequest request) {
        return report("admin", request, Map.of());
    }

    @RequestMapping(path = "/search", method = {RequestMethod.GET, RequestMethod.POST})
    Object search(
            HttpServletRequest request,
            @RequestParam(required = false) String hydrate,
            @RequestParam(name = "type[]", required = false) List<String> types,
            @ModelAttribute Search bound) {
        List<String> listed = types == null ? List.of() : types;
        return report("search", request, Map.of(), Arrays.asList(hydrate, bound.getHydrate()), listed);
    }

    @RequestMapping("/orgs/{org}/x")
    Object orgs(HttpServletRequest request, @PathVariable String org) {
        return report("orgs", request, Map.of("org", org));
    }

    @DeleteMapping("/public/{name}")
    Object deletePublic(HttpServletRequest request, @PathVariable String name) {
        return report("public.delete", request, Map.of("name", name));
    }

    @GetMapping("/public/{*rest}")
    Object readPublic(HttpServletRequest request, @PathVariable String rest) {
        return report("public.get", request, Map.of("rest", rest));
    }

    @GetMapping("/typed")
    Object typed(HttpServletRequest request) {
        return report("typed", request, Map.of());
    }

    @RequestMapping("/**")
    Object none(HttpServletRequest request) {
        return ResponseEntity.status(404).body(report("none", request, Map.of()));
    }

    private static Map<String, Object> report(String handler, HttpServletRequest request, Map<String, String> params) {
        return report(handler, request, params, List.of(), List.of());
    }

    private static Map<String, Object> report(
            String handler, HttpServletRequest request, Map<String, String> params, List<String> hydrate, List<String> types) {
        Map<String, List<String>> query = new LinkedHashMap<>();
        request.getParameterMap().forEach((name, values) -> query.put(name, List.of(values)));
        Map<String, List<String>> headers = new LinkedHashMap<>();
        for (String name : Collections.list(request.getHeaderNames()))
            headers.put(name.toLowerCase(), Collections.list(request.getHeaders(name)));
        List<String> credentials = new ArrayList<>();
        if (request.getCookies() != null)
            for (Cookie cookie : request.getCookies()) if (cookie.getName().equals("api_key")) credentials.add(cookie.getValue());
        return Report.of(handler, request.getMethod(), params, hydrate, types, request.getRequestURI(), query, headers, credentials);
    }
}
