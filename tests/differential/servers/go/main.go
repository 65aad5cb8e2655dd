// The routes of routers.rs, in each framework: server NAME PORT.
package main

import (
	"net/http"
	"os"

	"github.com/gorilla/handlers"
)

// The routes, as frameworks with `:id` and `*` write them; those for every method have none.
var routes = []struct {
	methods       []string
	path, handler string
}{
	{[]string{"GET"}, "/", "root"},
	{[]string{"GET"}, "/health", "health"},
	{[]string{"POST"}, "/docs", "docs.create"},
	{[]string{"GET"}, "/docs/:id", "docs.get"},
	{[]string{"PUT", "PATCH"}, "/docs/:id", "docs.update"},
	{[]string{"DELETE"}, "/docs/:id", "docs.delete"},
	{nil, "/admin/*", "admin"},
	{[]string{"GET", "POST"}, "/search", "search"},
	{nil, "/orgs/:org/x", "orgs"},
	{[]string{"DELETE"}, "/public/:name", "public.delete"},
	{[]string{"GET"}, "/public/*", "public.get"},
	{[]string{"GET"}, "/typed", "typed"},
}

func main() {
	address := "127.0.0.1:" + os.Args[2]
	servers := map[string]func(string) error{
		"net-http": func(address string) error { return listen(address, netHTTP()) },
		"chi":      func(address string) error { return listen(address, onChi()) },
		"gin":      func(address string) error { return listen(address, onGin()) },
		"echo4":    func(address string) error { return listen(address, onEcho4()) },
		"echo5":    func(address string) error { return listen(address, onEcho5()) },
		"fiber2":   onFiber2,
		"fiber3":   onFiber3,
		"hertz":    onHertz,
	}
	panic(servers[os.Args[1]](address))
}

// Serves HTTP/1 and, without TLS, HTTP/2.
func listen(address string, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{Addr: address, Handler: handler, Protocols: protocols}
	return server.ListenAndServe()
}

// With the handler for methods of gorilla, which is for every framework on net/http.
func overridden(handler http.Handler) http.Handler {
	return handlers.HTTPMethodOverrideHandler(handler)
}
