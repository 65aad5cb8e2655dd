package main

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

func onGin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	for _, route := range routes {
		path := route.path
		if strings.HasSuffix(path, "*") {
			path += "rest"
		}
		handler := func(c *gin.Context) { c.JSON(http.StatusOK, byShouldBind(route.handler, c).report()) }
		if route.methods == nil {
			router.Any(path, handler)
		}
		for _, method := range route.methods {
			router.Handle(method, path, handler)
		}
	}
	router.NoRoute(func(c *gin.Context) { c.JSON(http.StatusNotFound, byShouldBind("none", c).report()) })
	return overridden(router)
}

// Parameters as `ShouldBind` gives them, and as `FormValue` does.
func byShouldBind(handler string, c *gin.Context) request {
	params := map[string]string{"id": c.Param("id"), "org": c.Param("org"), "rest": c.Param("rest")}
	one := told(handler, c.Request, params)
	one.add(c.Request.FormValue("hydrate"), c.PostFormArray("type[]"))
	var bound search
	if c.ShouldBind(&bound) == nil {
		one.add(bound.Hydrate, bound.Types)
	}
	one.end(c.Request)
	return one
}
