package main

import (
	"net/http"

	"github.com/gofiber/fiber/v3"
)

func onFiber3(address string) error {
	router := fiber.New()
	for _, route := range routes {
		handler := func(c fiber.Ctx) error { return c.JSON(byBindBody(route.handler, c).report()) }
		if route.methods == nil {
			router.All(route.path, handler)
		} else {
			router.Add(route.methods, route.path, handler)
		}
	}
	router.Use(func(c fiber.Ctx) error { return c.Status(http.StatusNotFound).JSON(byBindBody("none", c).report()) })
	return router.Listen(address, fiber.ListenConfig{DisableStartupMessage: true})
}

// What `Bind().All` fills, as SECURITY.md asks for: without these tags headers and cookies go by the names of Go's fields.
type tagged struct {
	Hydrate string   `form:"hydrate" query:"hydrate" json:"hydrate" header:"hydrate" cookie:"hydrate"`
	Types   []string `form:"type[]" query:"type[]" json:"type[]" header:"type[]" cookie:"type[]"`
}

// Parameters as `Bind` gives them, of the body and of all, and as `FormValue` does.
func byBindBody(handler string, c fiber.Ctx) request {
	params := map[string]string{"id": unescaped(c.Params("id")), "org": unescaped(c.Params("org")), "rest": c.Params("*")}
	one := toldByFasthttp(handler, c.RequestCtx(), params)
	one.add(c.FormValue("hydrate"), nil)
	var body search
	var all tagged
	if c.Bind().Body(&body) == nil {
		one.add(body.Hydrate, body.Types)
	}
	if c.Bind().All(&all) == nil {
		one.add(all.Hydrate, all.Types)
	}
	return one
}
