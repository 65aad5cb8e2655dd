# The routes of routers.rs on Rails, as `rails new` makes its stack of middleware.
require "action_controller/railtie"
require_relative "report"

class ToldController < ActionController::Base
  ROUTES = {
    root: [:get, "/"],
    health: [:get, "/health"],
    "docs.create": [:post, "/docs"],
    "docs.get": [:get, "/docs/:id"],
    "docs.update": [[:put, :patch], "/docs/:id"],
    "docs.delete": [:delete, "/docs/:id"],
    admin: [:all, "/admin/*rest"],
    search: [[:get, :post], "/search"],
    orgs: [:all, "/orgs/:org/x"],
    "public.delete": [:delete, "/public/:name"],
    "public.get": [:get, "/public/*rest"],
    typed: [:get, "/typed"],
    none: [:all, "*any"],
  }
  ROUTES.each_key do |handler|
    define_method(handler.to_s.tr(".", "_")) do
      render json: report(handler, request, params.to_unsafe_h), status: handler == :none ? 404 : 200
    end
  end
end

class Application < Rails::Application
  config.eager_load = false
  config.secret_key_base = "not one" * 8
  config.hosts.clear
  config.logger = Logger.new(nil)
  routes.append do
    ToldController::ROUTES.each do |handler, (methods, path)|
      match path, to: "told##{handler.to_s.tr(".", "_")}", via: methods
    end
  end
end
Application.initialize!
run Application
