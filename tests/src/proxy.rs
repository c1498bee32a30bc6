//! A proxy that loses answers: real sockets between a client and a server, with faults on demand.
//!
//! Each request that no fault matches goes through unchanged. A fault is used up once it has struck as often as
//! it was asked to. Every request that arrived is on record, with the status the server gave it.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Answer, Request};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes; the server never sees the request.
    LoseRequest,
    /// The server does it; the connection closes without an answer.
    LoseAnswer,
    /// The server does it; its answer arrives as a whole HTTP message whose body ends after so many bytes.
    CutBody(usize),
    /// The server does it; the connection closes after so many bytes of the answer's body.
    CutConnection(usize),
    /// The server does it; after so many bytes of the answer's body nothing more comes, and the connection stays.
    Stall(usize),
    /// The server never sees the request; this is the answer.
    Answer(Answer),
    /// The server does it; this is the answer.
    AnswerInstead(Answer),
    /// The server does it; its answer waits until [`Gate::open`].
    HoldAnswer(Gate),
    /// The request waits until [`Gate::open`], then goes through.
    HoldRequest(Gate),
}

/// What holds a request or an answer back, and tells that it does.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until one more message stands before the gate.
    pub async fn arrived(&self) {
        self.arrived.acquire().await.expect("the gate is never closed for good").forget();
    }

    /// Lets one message through, now or when it comes.
    pub fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.expect("the gate is never closed for good").forget();
    }
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Counts up from 0 in order of arrival.
    pub number: u64,
    /// The request.
    pub request: Request,
    /// The server's status; `None` if the request did not reach it, or it gave none yet.
    pub status: Option<u16>,
}

type Predicate = Box<dyn Fn(&Request) -> bool + Send>;

struct Rule {
    matches: Predicate,
    left: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    arrived: u64,
    unreachable: bool,
}

impl State {
    /// Takes down a request; returns its number and the fault that strikes it.
    fn arrive(&mut self, request: &Request) -> (u64, Option<Fault>) {
        let number = self.arrived;
        self.arrived += 1;
        self.seen.push(Seen { number, request: request.clone(), status: None });
        let rule = self.rules.iter_mut().find(|rule| rule.left > 0 && (rule.matches)(request));
        let fault = rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        });
        (number, fault)
    }

    fn answered(&mut self, number: u64, status: u16) {
        // Not there if the record was taken meanwhile.
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.number == number) {
            seen.status = Some(status);
        }
    }
}

/// The proxy. It ends with this value.
pub struct FaultProxy {
    url: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy on a free loopback port before `upstream` (`host:port`).
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(upstream: impl Into<String>) -> Self {
        let upstream = upstream.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&state)));
        Self { url: format!("http://{address}"), state, task }
    }

    /// Where clients find it, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next `times` requests that match suffer the fault. Faults are tried in the order they were added.
    pub fn inject(&self, times: usize, fault: Fault, matches: impl Fn(&Request) -> bool + Send + 'static) {
        locked(&self.state).rules.push(Rule { matches: Box::new(matches), left: times, fault });
    }

    /// While `true`, every connection closes at once, as if there were no network.
    pub fn set_unreachable(&self, unreachable: bool) {
        locked(&self.state).unreachable = unreachable;
    }

    /// The requests so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state).seen.clone()
    }

    /// The requests since the last call, or the start.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut locked(&self.state).seen)
    }

    /// Whether every fault has struck as often as it was asked to.
    pub fn faults_used_up(&self) -> bool {
        locked(&self.state).rules.iter().all(|rule| rule.left == 0)
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, state: Arc<Mutex<State>>) {
    let upstream: Arc<str> = upstream.into();
    // Dropping the set with this task ends the connections as well.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                if !locked(&state).unreachable {
                    connections.spawn(serve(stream, Arc::clone(&upstream), Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, one request. An error of either side ends the connection, which is all the other side can
/// learn about it anyway.
async fn serve(stream: TcpStream, upstream: Arc<str>, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
    let (number, fault) = locked(&state).arrive(&request);
    let forward = async {
        let answer = request.send(&upstream).await?;
        locked(&state).answered(number, answer.status);
        Ok::<_, io::Error>(answer)
    };
    let whole = |answer: Answer| answer.to_bytes(answer.body.len());
    let bytes = match fault {
        None => whole(forward.await?),
        Some(Fault::LoseRequest) => return Ok(()),
        Some(Fault::LoseAnswer) => {
            forward.await?;
            return Ok(());
        }
        Some(Fault::CutBody(length)) => {
            let mut answer = forward.await?;
            answer.body.truncate(length);
            whole(answer)
        }
        Some(Fault::CutConnection(length)) => {
            let mut answer = forward.await?;
            let announced = answer.body.len();
            answer.body.truncate(length);
            answer.to_bytes(announced)
        }
        Some(Fault::Stall(length)) => {
            let mut answer = forward.await?;
            let announced = answer.body.len();
            answer.body.truncate(length);
            stream.write_all(&answer.to_bytes(announced)).await?;
            // Until the client gives up.
            stream.read_u8().await?;
            return Ok(());
        }
        Some(Fault::Answer(answer)) => whole(answer),
        Some(Fault::AnswerInstead(answer)) => {
            forward.await?;
            whole(answer)
        }
        Some(Fault::HoldAnswer(gate)) => {
            let answer = forward.await?;
            gate.pass().await;
            whole(answer)
        }
        Some(Fault::HoldRequest(gate)) => {
            gate.pass().await;
            whole(forward.await?)
        }
    };
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

/// The state is plain data, whole after every step: a test that panicked while it held the lock broke nothing.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every request with what it received.
    async fn echo() -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            loop {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let request = Request::read(&mut stream).await.unwrap().unwrap();
                let answer = Answer::new(200, "text/plain", request.body.unwrap_or_default());
                stream.write_all(&answer.to_bytes(answer.body.len())).await.unwrap();
            }
        });
        (authority, task)
    }

    fn post() -> Request {
        let mut request = Request::new("POST", "/x?y=%20");
        request.body = Some(b"hello".to_vec());
        request
    }

    #[tokio::test]
    async fn every_fault_strikes_as_often_as_asked_and_then_no_more() {
        let (upstream, server) = echo().await;
        let proxy = FaultProxy::start(upstream).await;
        let authority = proxy.url().strip_prefix("http://").unwrap().to_owned();
        let is_post = |request: &Request| request.method == "POST";
        let refusal = Answer::new(500, "text/html", "<p>no");

        proxy.inject(1, Fault::LoseRequest, is_post);
        proxy.inject(1, Fault::LoseAnswer, is_post);
        proxy.inject(1, Fault::CutBody(2), is_post);
        proxy.inject(1, Fault::CutConnection(2), is_post);
        proxy.inject(1, Fault::Answer(refusal.clone()), is_post);
        proxy.inject(1, Fault::AnswerInstead(refusal), is_post);

        assert!(post().send(&authority).await.is_err());
        assert!(post().send(&authority).await.is_err());
        assert_eq!(post().send(&authority).await.unwrap().body, b"he");
        assert!(post().send(&authority).await.is_err());
        assert_eq!(post().send(&authority).await.unwrap().status, 500);
        assert!(!proxy.faults_used_up());
        assert_eq!(post().send(&authority).await.unwrap().body, b"<p>no");
        assert!(proxy.faults_used_up());
        assert_eq!(post().send(&authority).await.unwrap().body, b"hello");

        let statuses: Vec<_> = proxy.take_seen().iter().map(|seen| seen.status).collect();
        let done = Some(200);
        assert_eq!(statuses, [None, done, done, done, None, done, done]);
        assert!(proxy.seen().is_empty());
        server.abort();
    }

    #[tokio::test]
    async fn a_gate_holds_the_answer_after_the_server_did_it() {
        let (upstream, server) = echo().await;
        let proxy = FaultProxy::start(upstream).await;
        let authority = proxy.url().strip_prefix("http://").unwrap().to_owned();
        let gate = Gate::new();
        proxy.inject(1, Fault::HoldAnswer(gate.clone()), |_| true);

        let client = tokio::spawn(async move { post().send(&authority).await });
        gate.arrived().await;
        assert_eq!(proxy.seen()[0].status, Some(200));
        assert!(!client.is_finished());
        gate.open();
        assert_eq!(client.await.unwrap().unwrap().body, b"hello");
        server.abort();
    }

    #[tokio::test]
    async fn a_stalled_answer_begins_and_never_ends() {
        let (upstream, server) = echo().await;
        let proxy = FaultProxy::start(upstream).await;
        let authority = proxy.url().strip_prefix("http://").unwrap().to_owned();
        proxy.inject(1, Fault::Stall(2), |_| true);

        let mut stream = BufReader::new(TcpStream::connect(&authority).await.unwrap());
        stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"he") {
            got.push(stream.read_u8().await.unwrap());
        }
        assert!(String::from_utf8(got).unwrap().contains("Content-Length: 5"));
        // Neither a further byte nor the end comes while the client waits.
        tokio::select! {
            biased;
            _ = stream.read_u8() => panic!("nothing more was to come"),
            () = tokio::task::yield_now() => {}
        }
        drop(stream);
        assert_eq!(post().send(&authority).await.unwrap().body, b"hello");
        server.abort();
    }

    #[tokio::test]
    async fn unreachable_closes_every_connection() {
        let (upstream, server) = echo().await;
        let proxy = FaultProxy::start(upstream).await;
        let authority = proxy.url().strip_prefix("http://").unwrap().to_owned();
        proxy.set_unreachable(true);
        assert!(post().send(&authority).await.is_err());
        proxy.set_unreachable(false);
        assert!(post().send(&authority).await.is_ok());
        server.abort();
    }
}
