//! HTTP/2 with prior knowledge: what HTTP/1 cannot say, such as methods that nobody registered.

use std::net::SocketAddr;

use h2::client;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use latchkey_cli::cases::{CaseRequest, Value};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::{PATIENCE, Response};

/// Sends one request over a connection of its own; the response, and the client's address.
pub fn exchange(address: SocketAddr, request: &CaseRequest) -> (Response, SocketAddr) {
    exchange_with_trailers(address, request, HeaderMap::new())
}

/// The same with trailers behind the body.
pub fn exchange_with_trailers(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> (Response, SocketAddr) {
    try_exchange(address, request, trailers).unwrap_or_else(|error| panic!("HTTP/2: {error}"))
}

/// The same for what Envoy may answer by breaking off.
///
/// # Errors
/// The stream or the connection ended without a response.
pub fn try_exchange(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> Result<(Response, SocketAddr), h2::Error> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let exchanged =
        runtime.block_on(async { timeout(PATIENCE, send(address, request, trailers)).await });
    exchanged.unwrap_or_else(|_| panic!("no answer over HTTP/2 to `{}`", request.method))
}

async fn send(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> Result<(Response, SocketAddr), h2::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let client = stream.local_addr().unwrap();
    let (sender, connection) = client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await?;

    let pieces: Vec<Vec<u8>> =
        request.pieces().iter().map(|piece| piece.as_bytes().to_vec()).collect();
    let (response, mut upload) = sender.send_request(head(request), pieces.is_empty())?;
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.into_iter().enumerate() {
        upload.send_data(piece.into(), index == last && trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        upload.send_trailers(trailers)?;
    }
    let (head, mut download) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(bytes) = download.data().await {
        let bytes = bytes?;
        download.flow_control().release_capacity(bytes.len())?;
        body.extend_from_slice(&bytes);
    }
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let trailers = download.trailers().await?.unwrap_or_default();
    for (name, value) in head.headers.iter().chain(&trailers) {
        headers.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    connection.abort();
    Ok((Response { status: head.status.as_u16(), headers, body }, client))
}

fn head(request: &CaseRequest) -> Request<()> {
    let uri = match &request.path {
        None => Uri::builder().authority(request.authority.as_str()).build(),
        Some(path) => Uri::builder()
            .scheme("http")
            .authority(request.authority.as_str())
            .path_and_query(path.as_str())
            .build(),
    };
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let mut head = Request::new(());
    *head.version_mut() = Version::HTTP_2;
    *head.method_mut() = method;
    *head.uri_mut() = uri.unwrap_or_else(|error| panic!("`{:?}`: {error}", request.path));
    for (name, Value(value)) in &request.headers {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        head.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    if let Some(body) = &request.body {
        head.headers_mut().insert("content-length", body.len().into());
    }
    head
}
