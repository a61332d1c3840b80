//! How connections to API servers are made and kept.
//!
//! Two things the library's own client does not do:
//!
//! - It lets the kernel hold small packets back: over a connection that is new, a call waits 40 ms
//!   for the word that the one before arrived.
//! - It keeps an idle connection for 90 s, which is as long as an API server keeps it. A call that
//!   is sent while the server closes has no answer, and whether it was done is not known.

use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt as _};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// How long a connection that nobody uses is kept; well below the 90 s of an API server.
const IDLE: Duration = Duration::from_secs(45);

/// A client that sends at once what it has to send.
///
/// # Errors
/// A certificate, key or token of the configuration cannot be used.
pub fn connect(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = config.rustls_https_connector_with_connector(http)?;
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let again = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(again)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections().build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace))
}

/// Connections that are closed before an API server closes them.
#[must_use]
pub fn connections() -> Builder {
    let mut connections = Builder::new(TokioExecutor::new());
    connections.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
    connections
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers every request of a connection, which it keeps.
    async fn answer(stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await? {
            if line.is_empty() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                lines.get_mut().get_mut().write_all(answer).await?;
            }
        }
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn connection_that_an_api_server_may_be_closing_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer(stream));
            }
        });
        let client = connect(Config::new(url.parse().unwrap())).unwrap();
        let ask = async || {
            let request = http::Request::get("/version").body(Vec::new()).unwrap();
            assert_eq!(client.request_text(request).await.unwrap(), "ok");
            connections.load(Ordering::Relaxed)
        };
        assert_eq!([ask().await, ask().await], [1, 1], "one connection serves several calls");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(80)).await;
        tokio::time::resume();
        assert_eq!(ask().await, 2, "one that was idle for long is not trusted");
    }
}
