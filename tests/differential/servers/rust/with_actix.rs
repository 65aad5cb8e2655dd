use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder, web};

use crate::{ROUTES, Search, Told, texts};

pub fn serve(address: &str) {
    let server = HttpServer::new(|| {
        let mut app = App::new();
        for (methods, path, handler) in ROUTES {
            let path = path.replace("{*rest}", "{rest:.*}");
            let answer = move |request, body, search| answered(handler, request, body, search);
            if methods.is_empty() {
                app = app.route(&path, web::route().to(answer));
            }
            for method in methods {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                app = app.route(&path, web::method(method).to(answer));
            }
        }
        app.default_service(web::to(|request, body, search| answered("none", request, body, search)))
    });
    let server = server.workers(2).bind(address).unwrap();
    actix_web::rt::System::new().block_on(server.run()).unwrap();
}

async fn answered(
    handler: &'static str,
    request: HttpRequest,
    _body: web::Bytes,
    search: Option<web::Query<Search>>,
) -> impl Responder {
    let params = request.match_info().iter();
    let headers = request.headers().iter();
    let told = Told {
        handler,
        method: request.method().to_string(),
        params: params.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        url: request.uri().to_string(),
        query: request.query_string().to_owned(),
        searches: search.map(web::Query::into_inner).into_iter().collect(),
        headers: texts(headers.map(|(name, value)| (name.as_str(), value.as_bytes()))),
    };
    let status = StatusCode::from_u16(told.status()).unwrap();
    HttpResponse::build(status).json(told.report())
}
