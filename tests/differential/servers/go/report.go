package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// What a framework's users take for a parameter: null where there is none, a text, or a list of them.
type search struct {
	Hydrate string   `form:"hydrate" query:"hydrate" json:"hydrate"`
	Types   []string `form:"type[]" query:"type[]" json:"type[]"`
}

// A request as a framework tells it.
type request struct {
	handler, method, url string
	params               map[string]string
	query                url.Values
	// What was read beside the query, in each way that users of the framework read parameters.
	hydrate, types []string
	headers        http.Header
	trailers       http.Header
	cookies        []string
}

func (r request) report() map[string]any {
	report := map[string]any{
		"handler":    r.handler,
		"method":     r.method,
		"params":     r.params,
		"hydrate":    nil,
		"types":      append(append([]string{}, r.query["type[]"]...), r.types...),
		"type":       nil,
		"account":    nil,
		"key":        nil,
		"connection": strings.Join(r.headers.Values("Connection"), ","),
		"url":        r.url,
		"query":      r.query,
		"headers":    r.headers,
		"trailers":   r.trailers,
	}
	if hydrate := append(append([]string{}, r.query["hydrate"]...), r.hydrate...); len(hydrate) > 0 {
		report["hydrate"] = hydrate
	}
	credentials := append(append([]string{}, r.query["api_key"]...), r.cookies...)
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		credentials = append(append(credentials, r.headers.Values(name)...), r.trailers.Values(name)...)
	}
	report["credentials"] = credentials
	for field, name := range map[string]string{"type": "X-Type", "account": "X-Account-Id", "key": "X-Key-Id"} {
		// Some put the trailers to the headers.
		if values := append(r.headers.Values(name), r.trailers.Values(name)...); len(values) > 0 {
			report[field] = strings.Join(values, ",")
		}
	}
	return report
}

func (r request) status() int {
	if r.handler == "none" {
		return http.StatusNotFound
	}
	return http.StatusOK
}

// Of net/http, what every framework on it has, before the body is read.
func told(handler string, r *http.Request, params map[string]string) request {
	cookies := []string{}
	for _, cookie := range r.CookiesNamed("api_key") {
		cookies = append(cookies, cookie.Value)
	}
	return request{
		handler: handler, method: r.Method, url: r.RequestURI, params: params, query: r.URL.Query(),
		headers: r.Header, cookies: cookies,
	}
}

// Adds what one way of reading found, but for what was not there.
func (r *request) add(hydrate string, types []string) {
	if hydrate != "" {
		r.hydrate = append(r.hydrate, hydrate)
	}
	r.types = append(r.types, types...)
}

// The trailers, which are there once the body has been read.
func (r *request) end(own *http.Request) {
	io.Copy(io.Discard, own.Body)
	r.trailers = own.Trailer
}

func write(w http.ResponseWriter, r request) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(r.status())
	json.NewEncoder(w).Encode(r.report())
}
