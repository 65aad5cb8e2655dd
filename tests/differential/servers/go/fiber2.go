package main

import (
	"net/http"
	"net/url"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

func onFiber2(address string) error {
	router := fiber.New(fiber.Config{DisableStartupMessage: true})
	for _, route := range routes {
		handler := func(c *fiber.Ctx) error { return c.JSON(byBodyParser(route.handler, c).report()) }
		if route.methods == nil {
			router.All(route.path, handler)
		}
		for _, method := range route.methods {
			router.Add(method, route.path, handler)
		}
	}
	router.Use(func(c *fiber.Ctx) error { return c.Status(http.StatusNotFound).JSON(byBodyParser("none", c).report()) })
	return router.Listen(address)
}

// Parameters as `BodyParser` gives them, and as `FormValue` does.
func byBodyParser(handler string, c *fiber.Ctx) request {
	params := map[string]string{"id": unescaped(c.Params("id")), "org": unescaped(c.Params("org")), "rest": c.Params("*")}
	one := toldByFasthttp(handler, c.Context(), params)
	one.add(c.FormValue("hydrate"), nil)
	var bound search
	if c.BodyParser(&bound) == nil {
		one.add(bound.Hydrate, bound.Types)
	}
	return one
}

// Of fasthttp, what both releases of Fiber have.
func toldByFasthttp(handler string, c *fasthttp.RequestCtx, params map[string]string) request {
	one := request{
		handler: handler, method: string(c.Method()), url: string(c.RequestURI()), params: params,
		query: url.Values{}, headers: http.Header{}, cookies: []string{},
	}
	for name, value := range c.QueryArgs().All() {
		one.query.Add(string(name), string(value))
	}
	for name, value := range c.Request.Header.All() {
		one.headers.Add(string(name), string(value))
	}
	if cookie := c.Request.Header.Cookie("api_key"); len(cookie) > 0 {
		one.cookies = append(one.cookies, string(cookie))
	}
	return one
}

// Fiber and chi leave it to their users to decode a parameter.
func unescaped(text string) string {
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}
