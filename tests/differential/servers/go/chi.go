package main

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

func onChi() http.Handler {
	router := chi.NewRouter()
	for _, route := range routes {
		path := route.path
		for _, name := range []string{"id", "org", "name"} {
			path = strings.Replace(path, ":"+name, "{"+name+"}", 1)
		}
		handler := func(w http.ResponseWriter, r *http.Request) {
			params := map[string]string{"id": unescaped(chi.URLParam(r, "id")), "org": unescaped(chi.URLParam(r, "org")), "rest": chi.URLParam(r, "*")}
			write(w, byFormValue(route.handler, r, params))
		}
		if route.methods == nil {
			router.HandleFunc(path, handler)
		}
		for _, method := range route.methods {
			router.MethodFunc(method, path, handler)
		}
	}
	router.NotFound(func(w http.ResponseWriter, r *http.Request) { write(w, byFormValue("none", r, nil)) })
	return overridden(router)
}
