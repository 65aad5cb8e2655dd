package latchkey;

import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServletRequest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.*;

/** The routes of routers.rs. A search is read in two ways: by parameters, and bound to an object. */
@SpringBootApplication
@RestController
public class Server {
    public static void main(String[] arguments) {
        SpringApplication.run(
            Server.class,
            "--server.address=127.0.0.1",
            "--server.port=" + arguments[0],
            "--logging.level.root=warn",
            "--spring.main.banner-mode=off");
    }

    public static class Search {
        private String hydrate;

        public void setHydrate(String hydrate) {
            this.hydrate = hydrate;
        }
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
        Map<String, Object> report = report("search", request, Map.of());
        String one = hydrate == null ? bound.hydrate : hydrate;
        report.put("hydrate", one == null ? null : List.of(one));
        report.put("types", types == null ? List.of() : types);
        return report;
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
    Object typed(HttpServletRequest request, @RequestHeader(name = "x-type", required = false) String type) {
        Map<String, Object> report = report("typed", request, Map.of());
        report.put("type", type);
        return report;
    }

    @RequestMapping("/**")
    Object none(HttpServletRequest request) {
        return ResponseEntity.status(404).body(report("none", request, Map.of()));
    }

    private static Map<String, Object> report(String handler, HttpServletRequest request, Map<String, String> params) {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("handler", handler);
        report.put("method", request.getMethod());
        report.put("params", params);
        report.put("hydrate", null);
        report.put("types", List.of());
        report.put("type", values(request, "x-type"));
        report.put("account", values(request, "x-account-id"));
        report.put("key", values(request, "x-key-id"));
        List<String> credentials = new ArrayList<>();
        for (String name : List.of("authorization", "x-api-key")) credentials.addAll(Collections.list(request.getHeaders(name)));
        String[] parameters = request.getParameterValues("api_key");
        if (parameters != null) credentials.addAll(List.of(parameters));
        Cookie[] cookies = request.getCookies();
        if (cookies != null) for (Cookie cookie : cookies) if (cookie.getName().equals("api_key")) credentials.add(cookie.getValue());
        report.put("credentials", credentials);
        report.put("connection", values(request, "connection"));
        report.put("url", request.getRequestURI());
        report.put("query", request.getParameterMap());
        Map<String, String> headers = new LinkedHashMap<>();
        for (String name : Collections.list(request.getHeaderNames())) headers.put(name, values(request, name));
        report.put("headers", headers);
        return report;
    }

    private static String values(HttpServletRequest request, String name) {
        List<String> values = new ArrayList<>(Collections.list(request.getHeaders(name)));
        return values.isEmpty() ? null : String.join(",", values);
    }
}
