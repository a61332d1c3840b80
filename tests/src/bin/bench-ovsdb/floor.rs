//! A bare socket: it follows the database as a client does, keeps nothing, and sends what was
//! written before. Nobody can be faster.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::ovsdb::NORTHBOUND;
use ovn_client::nb::LoadBalancer;
use ovn_client::ovsdb::message::{Framer, Message};
use ovn_client::{FrameLimits, Txn, Uuid};

use crate::fill;

/// A bare connection.
pub(crate) struct Bare {
    socket: TcpStream,
    framer: Framer,
    input: Vec<u8>,
    next: u64,
}

impl Bare {
    /// Connects, follows the load balancers, and tells how long their first contents took.
    pub(crate) fn follow(endpoint: &str) -> Result<(Self, Duration)> {
        let begin = Instant::now();
        let socket = TcpStream::connect(endpoint.trim_start_matches("tcp:"))?;
        socket.set_nodelay(true)?;
        let framer = Framer::new(FrameLimits::default());
        let mut bare = Self { socket, framer, input: vec![0; 64 * 1024], next: 0 };
        let tables: BTreeMap<_, _> = fill::database()
            .tables
            .into_iter()
            .map(|table| (table.name, [BTreeMap::from([("columns", table.columns)])]))
            .collect();
        let nil = Uuid::nil().to_string();
        let params = serde_json::to_string(&(NORTHBOUND, "bare", tables, nil))?;
        let request = bare.request("monitor_cond_since", &params);
        bare.send(&[request])?;
        bare.replies(1)?;
        Ok((bare, begin.elapsed()))
    }

    /// Transactions as they go over the wire, to be sent in this order.
    pub(crate) fn written(&self, txns: impl Iterator<Item = Txn>) -> Result<Vec<String>> {
        txns.enumerate()
            .map(|(number, txn)| {
                let mut params = serde_json::to_string(txn.operations())?;
                params.insert_str(1, &format!("\"{NORTHBOUND}\","));
                let id = u64::try_from(number)? + 10;
                Ok(format!(r#"{{"id":{id},"method":"transact","params":{params}}}"#))
            })
            .collect()
    }

    /// Sends them with so many in flight; the times until each was answered if it is one.
    pub(crate) fn transact(&mut self, txns: &[String], in_flight: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(txns.len());
        let (mut sent, mut answered) = (0, 0);
        while answered < txns.len() {
            let free = in_flight - (sent - answered);
            let more = txns.get(sent..(sent + free).min(txns.len())).unwrap_or_default();
            let begin = Instant::now();
            self.send(more)?;
            sent += more.len();
            answered += self.replies(1)?;
            times.push(begin.elapsed());
        }
        Ok(times)
    }

    fn request(&mut self, method: &str, params: &str) -> String {
        self.next += 1;
        format!(r#"{{"id":{},"method":"{method}","params":{params}}}"#, self.next)
    }

    /// Empties the table, so that the next one finds it as this one did.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let table = LoadBalancer::TABLE;
        let all = format!(r#"["{NORTHBOUND}",{{"op":"delete","table":"{table}","where":[]}}]"#);
        let request = self.request("transact", &all);
        self.send(&[request])?;
        self.replies(1).map(|_| ())
    }

    /// In one piece: a call for each message would make many in flight slower than need be.
    fn send(&mut self, messages: &[String]) -> Result<()> {
        Ok(self.socket.write_all(messages.concat().as_bytes())?)
    }

    /// Reads until at least so many replies have come; how many did.
    fn replies(&mut self, wanted: usize) -> Result<usize> {
        let mut replies = 0;
        loop {
            while let Some(message) = self.framer.next_message()? {
                if let Message::Reply { result, .. } = Message::parse(&message)? {
                    let refused = result.is_ok_and(|result| result.get().contains("\"error\":"));
                    ensure!(!refused, "{}", String::from_utf8_lossy(&message));
                    replies += 1;
                }
            }
            if replies >= wanted {
                return Ok(replies);
            }
            let count = self.socket.read(&mut self.input)?;
            ensure!(count > 0, "the server closed the connection");
            self.framer.push(self.input.get(..count).unwrap_or_default());
        }
    }
}
