//! A server whose every answer a test decides.

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use ovn_client::FrameLimits;
use ovn_client::ovsdb::message::Framer;

/// The schema every connection serves.
const SCHEMA: &str = r#"{"name":"D","version":"7.6.0","tables":{"Load_Balancer":{"columns":{
    "name":{"type":"string"},
    "vips":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
    "protocol":{"type":{"key":{"type":"string","enum":["set",["tcp","udp","sctp"]]},
        "min":0,"max":1}}}}}}"#;

/// A listening server.
pub(crate) struct Server(TcpListener);

impl Server {
    /// Listens on a port of its own.
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("tcp:{}", self.0.local_addr().unwrap())
    }

    /// The next connection of the client.
    pub(crate) async fn accept(&self) -> Connection {
        Connection::open(self.0.accept().await.unwrap().0).await
    }
}

/// The server's side of a connection.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    framer: Framer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes an open stream, as a server too old to know about itself.
    pub(crate) async fn open(stream: S) -> Self {
        let mut connection = Self { stream, framer: Framer::new(FrameLimits::default()) };
        connection.expect("set_db_change_aware").await;
        let request = connection.expect("get_schema").await;
        assert_eq!(request["params"], json!(["_Server"]));
        connection.send(json!({"id": request["id"], "error": "unknown database"})).await;
        connection
    }

    /// The next message of the client.
    pub(crate) async fn receive(&mut self) -> Value {
        self.try_receive().await.expect("a message before the end")
    }

    /// Waits until the client closes the connection.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(self.try_receive().await, None);
    }

    /// Waits until the client closes the connection, whatever it asks before.
    pub(crate) async fn closed_after_what_was_asked(&mut self) {
        while self.try_receive().await.is_some() {}
    }

    async fn try_receive(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return Some(serde_json::from_slice(&message).unwrap());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.framer.push(&bytes[..length]),
            }
        }
    }

    /// The next message, which must be a request of this method.
    pub(crate) async fn expect(&mut self, method: &str) -> Value {
        let request = self.receive().await;
        assert_eq!(request["method"], method, "{request}");
        request
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_bytes(message.to_string().as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn answer(&mut self, request: &Value, result: Value) {
        self.send(json!({"id": request["id"], "error": null, "result": result})).await;
    }

    pub(crate) async fn schema(&mut self) {
        let request = self.expect("get_schema").await;
        self.answer(&request, serde_json::from_str(SCHEMA).unwrap()).await;
    }

    /// Brings the client in sync with these contents.
    pub(crate) async fn sync(&mut self, contents: Value) {
        self.schema().await;
        let request = self.expect("monitor_cond_since").await;
        let nil = "00000000-0000-0000-0000-000000000000";
        self.answer(&request, json!([false, nil, contents])).await;
    }

    /// Tells a change, as `update3` if there is a transaction, else as `update2`.
    pub(crate) async fn update(&mut self, transaction: Option<u128>, updates: Value) {
        let message = match transaction {
            Some(number) => {
                let last = ovn_client::Uuid::from_u128(number);
                json!({"id": null, "method": "update3", "params": ["ovn-client", last, updates]})
            }
            None => json!({"id": null, "method": "update2", "params": ["ovn-client", updates]}),
        };
        self.send(message).await;
    }
}
