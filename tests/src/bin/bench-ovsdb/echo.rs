//! How soon an `echo` of the server is answered while the client is busy with sixteen megabytes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::ovsdb::Schema;
use lab::report::Report;
use ovn_client::ovsdb::message::Framer;
use ovn_client::{Client, ClientConfig, FrameLimits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::fill;

const SIZE: usize = 16 << 20;
const ROUNDS: usize = 10;
const TARGET: Duration = Duration::from_millis(50);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let contents = contents();
    let mut worst = Duration::ZERO;
    for _ in 0..ROUNDS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("tcp:{}", listener.local_addr()?);
        let (client, driver) = Client::new(ClientConfig::new(endpoint.parse()?, fill::database()));
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        let mut server = Server::new(listener.accept().await?.0)?;
        worst = worst.max(server.serve(&contents, &client).await?);
        stop.cancel();
        driver.await?;
    }
    let what = "echo answered while 16 MiB are read and decoded, worst";
    report.time(what, worst, None, TARGET);
    Ok(())
}

/// Rows as the server sends them first, some [`SIZE`] bytes of JSON.
fn contents() -> String {
    let mut rows = serde_json::Map::new();
    let mut size = 0;
    for number in 0.. {
        let row = fill::balancer(number, "filled");
        let vips: Vec<_> = row.vips.iter().map(|(vip, backends)| json!([vip, backends])).collect();
        let row = json!({"initial": {"name": row.name, "protocol": "tcp", "vips": ["map", vips]}});
        size += row.to_string().len() + 41;
        rows.insert(fill::balancer(number, "id").uuid.to_string(), row);
        if size > SIZE {
            break;
        }
    }
    json!({"Load_Balancer": rows}).to_string()
}

/// A server that says what it is told to.
struct Server {
    stream: TcpStream,
    framer: Framer,
}

impl Server {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, framer: Framer::new(FrameLimits::default()) })
    }

    async fn serve(&mut self, contents: &str, client: &Client) -> Result<Duration> {
        self.answer(&json!({}).to_string()).await?;
        let id = self.asked().await?;
        self.say(&json!({"id": id, "error": "unknown database"})).await?;
        self.answer(&Schema::current()?.text()).await?;
        let nil = "00000000-0000-0000-0000-000000000000";
        self.answer(&format!(r#"[false,"{nil}",{contents}]"#)).await?;
        // Behind the last byte, and again until the replica is there.
        let mut worst = Duration::ZERO;
        loop {
            let begin = Instant::now();
            self.say(&json!({"id": "echo", "method": "echo", "params": []})).await?;
            self.receive().await?;
            worst = worst.max(begin.elapsed());
            if client.snapshot().connected() {
                return Ok(worst);
            }
        }
    }

    /// Answers the next request with this result.
    async fn answer(&mut self, result: &str) -> Result<()> {
        let id = self.asked().await?;
        let reply = format!(r#"{{"id":{id},"error":null,"result":{result}}}"#);
        Ok(self.stream.write_all(reply.as_bytes()).await?)
    }

    /// The id of the next request.
    async fn asked(&mut self) -> Result<Value> {
        self.receive().await?.get("id").cloned().context("no id")
    }

    async fn say(&mut self, message: &Value) -> Result<()> {
        Ok(self.stream.write_all(message.to_string().as_bytes()).await?)
    }

    async fn receive(&mut self) -> Result<Value> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.framer.next_message()? {
                return Ok(serde_json::from_slice(&message)?);
            }
            let count = self.stream.read(&mut bytes).await?;
            let read = bytes.get(..count).filter(|read| !read.is_empty());
            self.framer.push(read.context("the client closed the connection")?);
        }
    }
}
