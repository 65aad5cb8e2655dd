package main

import (
	"net/http"
	"strings"
)

func netHTTP() http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		path := route.path
		switch {
		case path == "/":
			path = "/{$}"
		case strings.HasSuffix(path, "*"):
			path = strings.TrimSuffix(path, "*") + "{rest...}"
		}
		for _, name := range []string{"id", "org", "name"} {
			path = strings.Replace(path, ":"+name, "{"+name+"}", 1)
		}
		answer := answer(route.handler)
		if route.methods == nil {
			mux.HandleFunc(path, answer)
		}
		for _, method := range route.methods {
			mux.HandleFunc(method+" "+path, answer)
		}
	}
	mux.HandleFunc("/", answer("none"))
	return overridden(mux)
}

func answer(handler string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		params := map[string]string{"id": r.PathValue("id"), "org": r.PathValue("org"), "rest": r.PathValue("rest")}
		write(w, byFormValue(handler, r, params))
	}
}

// Parameters as `FormValue` gives them.
func byFormValue(handler string, r *http.Request, params map[string]string) request {
	one := told(handler, r, params)
	one.add(r.FormValue("hydrate"), r.Form["type[]"])
	one.end(r)
	return one
}
