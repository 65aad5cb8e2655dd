# The routes of routers.rs on Sinatra, as a classic application has it.
require "json"
require "sinatra/base"
require_relative "report"

class Application < Sinatra::Base
  enable :method_override
  ALL = %w[GET POST PUT PATCH DELETE]
  {
    ["/", "root"] => %w[GET],
    ["/health", "health"] => %w[GET],
    ["/docs", "docs.create"] => %w[POST],
    ["/docs/:id", "docs.get"] => %w[GET],
    ["/docs/:id", "docs.update"] => %w[PUT PATCH],
    ["/docs/:id", "docs.delete"] => %w[DELETE],
    ["/admin/*", "admin"] => ALL,
    ["/search", "search"] => %w[GET POST],
    ["/orgs/:org/x", "orgs"] => ALL,
    ["/public/:name", "public.delete"] => %w[DELETE],
    ["/public/*", "public.get"] => %w[GET],
    ["/typed", "typed"] => %w[GET],
  }.each do |(path, handler), methods|
    methods.each { |method| public_send(method.downcase, path) { told(handler) } }
  end
  not_found { told("none") }

  def told(handler)
    content_type :json
    JSON.generate(report(handler, request, params))
  end
end
run Application
