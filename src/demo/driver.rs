//! The operator's part: one control connection to one mover.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::{ReadHalf, WriteHalf};

use mover_core::translate::wire_hello;
use transport::{FrameReader, FrameWriter};
use transport::{Session, TlsDir, dial};
use wire::control::{MoverStatus, Refusal, Request, Response};
use wire::{Asked, Message, decode, encode};

/// How long a mover that was just started may take to answer.
const START_WAIT: Duration = Duration::from_secs(60);

/// How long one answer may take, beyond what a long poll waits.
const ANSWER_WAIT: Duration = Duration::from_secs(40);

/// How long one long poll waits, in milliseconds.
const POLL_MS: u32 = 1000;

/// A control connection.
#[derive(Debug)]
pub struct Driver {
    reader: FrameReader<ReadHalf<Session>>,
    writer: FrameWriter<WriteHalf<Session>>,
}

impl Driver {
    /// Connects to the mover at `address`, again and again while it is still starting.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn connect(address: &str, tls: &TlsDir) -> Result<Driver> {
        let until = Instant::now() + START_WAIT;
        loop {
            match Driver::connect_once(address, tls).await {
                Ok(driver) => return Ok(driver),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn connect_once(address: &str, tls: &TlsDir) -> Result<Driver> {
        let session = dial(address, tls).await?;
        let (read_half, write_half) = tokio::io::split(session);
        let mut driver = Driver {
            reader: FrameReader::new(read_half),
            writer: FrameWriter::new(write_half),
        };
        let hello = wire_hello(&"operator".parse()?, None, 0, None);
        driver.send(Message::Hello(Box::new(hello))).await?;
        match driver.receive().await? {
            Message::Hello(_) => driver.reader.after_hello(),
            other => bail!("the mover began with {other:?}"),
        }
        Ok(driver)
    }

    /// Asks, and gives back the answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn ask(&mut self, asked: impl Into<Asked>) -> Result<Response> {
        self.send(Message::Request(Box::new(asked.into()))).await?;
        match self.receive().await? {
            Message::Response(response) => Ok(*response),
            other => Err(anyhow!("the mover answered with {other:?}")),
        }
    }

    /// Asks something that has to be taken.
    ///
    /// # Errors
    /// When it is refused, or the connection breaks.
    pub async fn tell(&mut self, request: Request) -> Result<()> {
        let what = format!("{request:?}");
        match self.ask(request).await? {
            Response::Accepted => Ok(()),
            Response::Refused(refusal) => bail!("{:?}: {} ({what})", refusal.kind, refusal.message),
            Response::Status(_) => bail!("a request was answered with a status"),
        }
    }

    /// Requests something that has to be refused, and returns the refusal.
    ///
    /// # Errors
    /// When it is taken, or the connection breaks.
    pub async fn expect_refusal(&mut self, request: Request) -> Result<Refusal> {
        let what = format!("{request:?}");
        match self.ask(request).await? {
            Response::Refused(refusal) => Ok(refusal),
            _ => bail!("this was not refused: {what}"),
        }
    }

    /// The status as it is now.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn status(&mut self) -> Result<MoverStatus> {
        self.status_above(0, 0).await
    }

    /// Waits until the status is as `wanted`, at most `limit`.
    ///
    /// # Errors
    /// When it is not in time, or the connection breaks.
    pub async fn wait_for(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&MoverStatus) -> bool,
    ) -> Result<MoverStatus> {
        let until = Instant::now() + limit;
        let mut status = self.status().await?;
        while !wanted(&status) {
            if Instant::now() >= until {
                bail!("timed out after {limit:?}; the last status was {status:#?}");
            }
            status = self.status_above(status.version, POLL_MS).await?;
        }
        Ok(status)
    }

    async fn status_above(&mut self, after: u64, wait_ms: u32) -> Result<MoverStatus> {
        match self.ask(Request::Status { after, wait_ms }).await? {
            Response::Status(status) => Ok(*status),
            other => bail!("a question for the status was answered with {other:?}"),
        }
    }

    async fn send(&mut self, message: Message) -> Result<()> {
        self.writer.send(&encode(message)?).await?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message> {
        let frame = tokio::time::timeout(ANSWER_WAIT, self.reader.next())
            .await
            .context("the mover did not answer in time")??
            .context("the mover ended the connection")?;
        Ok(decode(frame)?)
    }
}
