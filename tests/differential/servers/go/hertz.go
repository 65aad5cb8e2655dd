package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/hlog"
)

func onHertz(address string) error {
	hlog.SetLevel(hlog.LevelError)
	router := server.New(server.WithHostPorts(address))
	for _, route := range routes {
		path := route.path
		if strings.HasSuffix(path, "*") {
			path += "rest"
		}
		handler := func(_ context.Context, c *app.RequestContext) {
			c.JSON(http.StatusOK, byHertzBind(route.handler, c).report())
		}
		if route.methods == nil {
			router.Any(path, handler)
		}
		for _, method := range route.methods {
			router.Handle(method, path, handler)
		}
	}
	router.NoRoute(func(_ context.Context, c *app.RequestContext) {
		c.JSON(http.StatusNotFound, byHertzBind("none", c).report())
	})
	return router.Run()
}

// Parameters as `Bind` gives them, and as `FormValue` does.
func byHertzBind(handler string, c *app.RequestContext) request {
	one := request{
		handler: handler, method: string(c.Method()), url: string(c.Request.RequestURI()),
		params: map[string]string{"id": c.Param("id"), "org": c.Param("org"), "rest": c.Param("rest")},
		query:  url.Values{}, headers: http.Header{}, cookies: []string{},
	}
	c.QueryArgs().VisitAll(func(name, value []byte) { one.query.Add(string(name), string(value)) })
	c.Request.Header.VisitAll(func(name, value []byte) { one.headers.Add(string(name), string(value)) })
	if cookie := c.Cookie("api_key"); len(cookie) > 0 {
		one.cookies = append(one.cookies, string(cookie))
	}
	one.add(string(c.FormValue("hydrate")), nil)
	var bound search
	if c.Bind(&bound) == nil {
		one.add(bound.Hydrate, bound.Types)
	}
	return one
}
