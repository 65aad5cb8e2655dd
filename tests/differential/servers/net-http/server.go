// The routes of routers.rs.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/gorilla/handlers"
)

func answer(handler string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		query := r.URL.Query()
		report := map[string]any{
			"handler":    handler,
			"method":     r.Method,
			"params":     map[string]string{"id": r.PathValue("id"), "org": r.PathValue("org"), "rest": r.PathValue("rest")},
			"hydrate":    nil,
			"types":      append([]string{}, query["type[]"]...),
			"type":       nil,
			"account":    nil,
			"connection": strings.Join(r.Header.Values("Connection"), ","),
			"url":        r.RequestURI,
			"query":      query,
			"headers":    r.Header,
			"trailers":   r.Trailer,
		}
		if hydrate, ok := query["hydrate"]; ok {
			report["hydrate"] = hydrate
		}
		credentials := append([]string{}, query["api_key"]...)
		for _, name := range []string{"Authorization", "X-Api-Key"} {
			credentials = append(append(credentials, r.Header.Values(name)...), r.Trailer.Values(name)...)
		}
		for _, cookie := range r.CookiesNamed("api_key") {
			credentials = append(credentials, cookie.Value)
		}
		report["credentials"] = credentials
		for field, name := range map[string]string{"type": "X-Type", "account": "X-Account-Id", "key": "X-Key-Id"} {
			// Some put the trailers to the headers.
			if values := append(r.Header.Values(name), r.Trailer.Values(name)...); len(values) > 0 {
				report[field] = strings.Join(values, ",")
			}
		}
		w.Header().Set("content-type", "application/json")
		if handler == "none" {
			w.WriteHeader(http.StatusNotFound)
		}
		json.NewEncoder(w).Encode(report)
	}
}

func main() {
	mux := http.NewServeMux()
	for pattern, handler := range map[string]string{
		"GET /{$}":              "root",
		"GET /health":           "health",
		"POST /docs":            "docs.create",
		"GET /docs/{id}":        "docs.get",
		"PUT /docs/{id}":        "docs.update",
		"PATCH /docs/{id}":      "docs.update",
		"DELETE /docs/{id}":     "docs.delete",
		"GET /admin/users":      "admin",
		"/admin/{rest...}":      "admin",
		"GET /search":           "search",
		"POST /search":          "search",
		"/orgs/{org}/x":         "orgs",
		"DELETE /public/{name}": "public.delete",
		"GET /public/{rest...}": "public.get",
		"GET /typed":            "typed",
		"/":                     "none",
	} {
		mux.HandleFunc(pattern, answer(handler))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{
		Addr:      "127.0.0.1:" + os.Args[1],
		Handler:   handlers.HTTPMethodOverrideHandler(mux),
		Protocols: protocols,
	}
	panic(server.ListenAndServe())
}
