package main

import (
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
)

func onEcho5() http.Handler {
	router := echo.New()
	for _, getter := range []middleware.MethodOverrideGetter{
		middleware.MethodFromHeader(echo.HeaderXHTTPMethodOverride), middleware.MethodFromForm("_method"), middleware.MethodFromQuery("_method"),
	} {
		router.Pre(middleware.MethodOverrideWithConfig(middleware.MethodOverrideConfig{Getter: getter}))
	}
	for _, route := range routes {
		handler := func(c *echo.Context) error { return c.JSON(http.StatusOK, byBind5(route.handler, c).report()) }
		if route.methods == nil {
			router.Any(route.path, handler)
		} else {
			router.Match(route.methods, route.path, handler)
		}
	}
	router.RouteNotFound("/*", func(c *echo.Context) error {
		return c.JSON(http.StatusNotFound, byBind5("none", c).report())
	})
	return router
}

// Parameters as `Bind` gives them, and as `FormValue` does.
func byBind5(handler string, c *echo.Context) request {
	r := c.Request()
	params := map[string]string{"id": c.Param("id"), "org": c.Param("org"), "rest": c.Param("*")}
	one := told(handler, r, params)
	one.add(c.FormValue("hydrate"), r.Form["type[]"])
	var bound search
	if c.Bind(&bound) == nil {
		one.add(bound.Hydrate, bound.Types)
	}
	one.end(r)
	return one
}
