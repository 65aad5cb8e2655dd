use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any, on};
use axum::{Form, Json, Router};

use crate::{ROUTES, Search, Told, texts};

pub fn serve(address: &str) {
    let mut router = Router::new();
    for (methods, path, handler) in ROUTES {
        // Its router takes no parameter beside the rest of a path.
        let path = &path.replace("{name}", "{*rest}");
        let answer = move |request: Request| answered(handler, request);
        if methods.is_empty() {
            router = router.route(path, any(answer));
        }
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            router = router.route(path, on(MethodFilter::try_from(method).unwrap(), answer));
        }
    }
    let router = router.fallback(|request: Request| answered("none", request));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}

/// A search is read by each extractor that a handler for GET and POST may have.
async fn answered(handler: &'static str, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut searches = Vec::new();
    if let Ok(Query(search)) = Query::<Search>::from_request_parts(&mut parts, &()).await {
        searches.push(search);
    }
    let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    if let Ok(Form(search)) = Form::<Search>::from_request(again(), &()).await {
        searches.push(search);
    }
    if let Ok(axum_extra::extract::Form(search)) =
        axum_extra::extract::Form::<Search>::from_request(again(), &()).await
    {
        searches.push(search);
    }
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params = params.iter().flatten();
    let told = Told {
        handler,
        method: parts.method.to_string(),
        params: params.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        url: parts.uri.to_string(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        searches,
        headers: texts(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))),
    };
    let mut response = Json(told.report()).into_response();
    *response.status_mut() = told.status().try_into().unwrap();
    response
}
