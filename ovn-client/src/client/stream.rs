//! Opening connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::endpoint::{Endpoint, Host};

/// Bytes from a server.
pub(super) type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// Bytes to a server.
pub(super) type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// Opens a connection.
pub(super) async fn open(
    endpoint: &Endpoint,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> io::Result<(Reader, Writer)> {
    match endpoint {
        Endpoint::Unix(path) => {
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            Ok((Box::pin(reader), Box::pin(writer)))
        }
        Endpoint::Tcp(host, port) => {
            let (reader, writer) = tcp(host, *port).await?.into_split();
            Ok((Box::pin(reader), Box::pin(writer)))
        }
        Endpoint::Tls(host, port) => {
            let tls = tls.ok_or_else(|| io::Error::other("no certificates are configured"))?;
            let name = ServerName::try_from(host.as_str().to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(tls.clone());
            let stream = connector.connect(name, tcp(host, *port).await?).await?;
            let (reader, writer) = tokio::io::split(stream);
            Ok((Box::pin(reader), Box::pin(writer)))
        }
    }
}

async fn tcp(host: &Host, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
