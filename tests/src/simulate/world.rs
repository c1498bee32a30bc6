//! Virtual time, the network with its faults, and the server behind it: everything that happens outside a device.
//!
//! What is to happen stands in one queue, ordered by virtual time and then by when it was put there. A device's calls
//! wait only for entries of that queue; so a history depends on nothing but its seed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use sync_core::engine::Cancellation;
use sync_core::error::{Error, ErrorKind};
use sync_core::transport::{Request, Response, SendError, Timer, Transport};

use super::server::{Caller, Edit, Server};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Answer = Result<Response, SendError>;

/// How many requests of hundred go wrong, and which kinds of faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Weather {
    /// Requests of hundred that meet a fault.
    pub(super) percent: u8,
    /// Bit n: fault n of [`Fault::ALL`] may come.
    pub(super) kinds: u32,
}

/// What may go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No connection: the request certainly did not arrive.
    Refused,
    /// The request is lost.
    LostRequest,
    /// The server did it, the answer is lost.
    LostAnswer,
    /// The client gave up; the request arrives long after.
    Late,
    /// The request arrives twice.
    Twice,
    /// The request takes very long.
    Slow,
    /// A status instead of the server, which saw nothing.
    Status,
    /// A gateway's status instead of the answer, although the server did it.
    Gateway,
    /// The answer's body is cut off.
    Cut,
    /// A page of a proxy with status 200; the server saw nothing.
    Page,
    /// A page of a proxy with status 200 instead of the answer.
    PageAfter,
    /// The answer says that it is something else than JSON.
    Mislabelled,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::LostRequest,
        Self::LostAnswer,
        Self::Late,
        Self::Twice,
        Self::Slow,
        Self::Status,
        Self::Gateway,
        Self::Cut,
        Self::Page,
        Self::PageAfter,
        Self::Mislabelled,
    ];
}

/// The place where an answer arrives.
#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

type SharedSlot = Arc<Mutex<Slot>>;

/// What is to happen.
enum Event {
    Wake(Waker),
    /// A request reaches the server; the answer goes to the slot.
    Arrive {
        caller: Caller,
        request: Box<Request>,
        reply: Option<Reply>,
    },
    Answer {
        slot: SharedSlot,
        answer: Box<Answer>,
    },
    /// Another client's transaction is committed.
    Edit {
        edits: Vec<Edit>,
        late: i64,
    },
    Cancel(Cancellation),
}

/// What becomes of the server's answer.
struct Reply {
    slot: SharedSlot,
    label: String,
    back: u64,
    fault: Option<Fault>,
    random: Rng,
}

/// What the world knows of a device.
struct Line {
    random: Rng,
    /// Points at which the device may still stop before it is killed.
    fuse: Option<u32>,
    is_killed: bool,
}

struct State {
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    server: Server,
    lines: Vec<Line>,
    weather: Weather,
    faults: BTreeMap<Fault, u64>,
    requests: u64,
    trace: Vec<String>,
}

/// See the [module documentation](self).
pub(super) struct World {
    state: Mutex<State>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl State {
    fn put(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), event);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let text = format!("{:>8} ms  {}", self.now, line());
        self.trace.push(text);
    }

    /// Sends a request on its way.
    fn post(&mut self, device: usize, request: Request) -> SharedSlot {
        self.requests += 1;
        let number = self.requests;
        let weather = self.weather;
        let random = &mut self.lines[device].random;
        let (there, back) = (random.u64(1..60), random.u64(1..60));
        let mut fault = None;
        if random.u8(0..100) < weather.percent {
            let is_write = request.method != Method::GET;
            // An insert that arrives after the client went on to something else could undo a later delete, and no
            // client of this protocol could prevent it.
            let is_insert = request.method == Method::POST;
            let may_come = |fault: &Fault| match fault {
                Fault::Late => is_write && !is_insert,
                _ => true,
            };
            let kinds = Fault::ALL.into_iter().enumerate().filter(|(bit, _)| weather.kinds >> bit & 1 == 1);
            let kinds: Vec<Fault> = kinds.map(|(_, fault)| fault).filter(may_come).collect();
            if !kinds.is_empty() {
                fault = Some(kinds[random.usize(0..kinds.len())]);
            }
        }
        let mut random = random.fork();
        let slot = SharedSlot::default();
        let label = format!("d{device} #{number}");
        let path = request.url.path().trim_start_matches("/tables/").to_owned();
        let query = request.url.query().map_or_else(String::new, |query| {
            format!("?{}", percent_encoding::percent_decode_str(query).decode_utf8_lossy())
        });
        let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let condition = request.headers.get(http::header::IF_MATCH).cloned();
        let method = request.method.clone();
        self.note(|| {
            let condition = condition.map_or_else(String::new, |value| format!(" if-match {value:?}"));
            let fault = fault.map_or_else(String::new, |fault| format!("  !! {fault:?}"));
            format!("{label} {method} {path}{query}{condition} {body}{fault}")
        });
        if let Some(fault) = fault {
            *self.faults.entry(fault).or_default() += 1;
        }
        let network = |what: &str| Error::new(ErrorKind::Network, what.to_owned());
        let answer = |answer: Answer| Event::Answer { slot: Arc::clone(&slot), answer: Box::new(answer) };
        let request = Box::new(request);
        let caller = self.server.caller(device);
        let reply = |fault, random| {
            Some(Reply { slot: Arc::clone(&slot), label: label.clone(), back, fault, random })
        };
        match fault {
            Some(Fault::Refused) => {
                self.put(there, answer(Err(SendError::unsent(network("connection refused")))));
            }
            Some(Fault::LostRequest) => {
                let lost = SendError { error: network("no answer"), may_have_sent: true };
                self.put(5_000, answer(Err(lost)));
            }
            Some(Fault::Late) => {
                let lost = SendError { error: network("no answer"), may_have_sent: true };
                self.put(500, answer(Err(lost)));
                let late = random.u64(600..20_000);
                self.put(late, Event::Arrive { caller, request, reply: None });
            }
            Some(Fault::Twice) => {
                let again = there + random.u64(0..3_000);
                self.put(
                    there,
                    Event::Arrive { caller, request: request.clone(), reply: reply(None, random) },
                );
                self.put(again, Event::Arrive { caller, request, reply: None });
            }
            Some(Fault::Slow) => {
                let there = random.u64(100..4_000);
                self.put(there, Event::Arrive { caller, request, reply: reply(None, random) });
            }
            Some(Fault::Status) => {
                // Not those by which a tables server speaks of a row: 404, 409, 410 and 412 would be lies.
                let refusals =
                    [302, 307, 400, 401, 403, 405, 408, 413, 415, 422, 429, 500, 501, 502, 503, 504, 507];
                let status = refusals[random.usize(0..refusals.len())];
                self.put(there + back, answer(Ok(status_answer(status, &mut random))));
            }
            Some(Fault::Page) => self.put(there + back, answer(Ok(page()))),
            fault => self.put(there, Event::Arrive { caller, request, reply: reply(fault, random) }),
        }
        slot
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Cancel(cancellation) => {
                self.note(|| "cancel".to_owned());
                cancellation.cancel();
            }
            Event::Edit { edits, late } => {
                self.note(|| format!("server: {edits:?}, {late} ms late"));
                self.server.edit(edits, self.now as i64, late);
            }
            Event::Answer { slot, answer } => deliver(&slot, *answer),
            Event::Arrive { caller, request, reply } => {
                // What arrives after its client went on is like the change of somebody else.
                let caller = reply.is_some().then_some(caller);
                let response = self.server.handle(caller, &request, self.now as i64);
                let commits = self.server.commits;
                let what = || {
                    let body = String::from_utf8_lossy(&response.body).into_owned();
                    format!("{} {body} (commit {commits})", response.status.as_u16())
                };
                let Some(Reply { slot, label, back, fault, mut random }) = reply else {
                    let text = what();
                    self.note(|| format!("nobody hears {text}"));
                    return;
                };
                let text = what();
                self.note(|| format!("{label} <- {text}"));
                let answer = match fault {
                    Some(Fault::LostAnswer) => {
                        let error = Error::new(ErrorKind::Network, "no answer");
                        Err(SendError { error, may_have_sent: true })
                    }
                    Some(Fault::Gateway) => {
                        let doubtful = [408, 500, 502, 504];
                        Ok(status_answer(doubtful[random.usize(0..doubtful.len())], &mut random))
                    }
                    Some(Fault::PageAfter) => Ok(page()),
                    Some(Fault::Mislabelled) => {
                        let mut response = response;
                        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
                        Ok(response)
                    }
                    Some(Fault::Cut) if response.body.len() > 1 => {
                        let body = response.body.slice(..random.usize(1..response.body.len()));
                        Ok(Response { body, ..response })
                    }
                    _ => Ok(response),
                };
                self.put(back, Event::Answer { slot, answer: Box::new(answer) });
            }
        }
    }
}

fn deliver(slot: &SharedSlot, answer: Answer) {
    let mut slot = slot.lock().expect("no panic");
    slot.answer = Some(answer);
    if let Some(waker) = slot.waker.take() {
        waker.wake();
    }
}

fn status_answer(status: u16, random: &mut Rng) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if random.bool() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    }
    let body = if random.bool() { Bytes::new() } else { Bytes::from_static(b"{\"error\":\"not now\"}") };
    Response { status: StatusCode::from_u16(status).expect("a status"), headers, body }
}

fn page() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    Response { status: StatusCode::OK, headers, body: Bytes::from_static(b"<!DOCTYPE html><p>Sign in</p>") }
}

impl World {
    pub(super) fn new(server: Server, devices: usize, weather: Weather) -> Arc<Self> {
        let line = || Line { random: Rng::with_seed(0), fuse: None, is_killed: false };
        let state = State {
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            server,
            lines: (0..devices).map(|_| line()).collect(),
            weather,
            faults: BTreeMap::new(),
            requests: 0,
            trace: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Looks at the server, or changes it.
    pub(super) fn server<T>(&self, look: impl FnOnce(&mut Server) -> T) -> T {
        look(&mut self.lock().server)
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.lock().note(line);
    }

    pub(super) fn now(&self) -> u64 {
        self.lock().now
    }

    /// From now on the network's whims towards a device follow this seed.
    pub(super) fn reseed(&self, device: usize, seed: u64) {
        self.lock().lines[device].random = Rng::with_seed(seed);
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Kills the device at the given one of its next points of rest.
    pub(super) fn light_fuse(&self, device: usize, length: Option<u32>) {
        let line = &mut self.lock().lines[device];
        line.fuse = length;
        line.is_killed = false;
    }

    pub(super) fn is_killed(&self, device: usize) -> bool {
        self.lock().lines[device].is_killed
    }

    pub(super) fn cancel_in(&self, delay: u64, cancellation: Cancellation) {
        self.lock().put(delay, Event::Cancel(cancellation));
    }

    pub(super) fn edit_in(&self, delay: u64, edits: Vec<Edit>) {
        self.lock().put(delay, Event::Edit { edits, late: delay as i64 });
    }

    /// Lets the next thing happen, if it happens by then; else the time is then.
    pub(super) fn step(&self, until: Option<u64>) -> bool {
        let mut state = self.lock();
        let next = state.queue.first_key_value().map(|(at, _)| *at);
        match next {
            Some(at) if until.is_none_or(|until| at.0 <= until) => {
                let event = state.queue.remove(&at).expect("the first entry");
                state.now = state.now.max(at.0);
                state.run(event);
                true
            }
            _ => {
                state.now = state.now.max(until.unwrap_or(0));
                false
            }
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.lock().trace.clone()
    }

    pub(super) fn faults(&self) -> BTreeMap<Fault, u64> {
        self.lock().faults.clone()
    }

    pub(super) fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// A point at which a device rests: others may do something, and it may be killed.
    pub(super) fn rest(self: &Arc<Self>, device: usize, place: &'static str) -> Rest {
        Rest { world: Arc::clone(self), device, place, has_rested: false }
    }
}

/// See [`World::rest`].
pub(super) struct Rest {
    world: Arc<World>,
    device: usize,
    place: &'static str,
    has_rested: bool,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_rested {
            return Poll::Ready(());
        }
        self.has_rested = true;
        let (device, place) = (self.device, self.place);
        let mut state = self.world.lock();
        let line = &mut state.lines[device];
        match &mut line.fuse {
            Some(0) => {
                line.is_killed = true;
                state.note(|| format!("d{device} killed at {place}"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.put(0, Event::Wake(context.waker().clone()));
        Poll::Pending
    }
}

/// The network as one device has it.
pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) device: usize,
}

struct Waiting(SharedSlot);

impl Future for Waiting {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = self.0.lock().expect("no panic");
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> Boxed<'_, Answer> {
        Box::pin(async move {
            self.world.rest(self.device, "before a request").await;
            let slot = self.world.lock().post(self.device, request);
            let answer = Waiting(slot).await;
            self.world.rest(self.device, "after an answer").await;
            answer
        })
    }
}

/// Waits in virtual time.
pub(super) struct VirtualTimer(pub(super) Arc<World>);

struct Sleep {
    world: Arc<World>,
    until: u64,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = Arc::clone(&self.world);
        let mut state = world.lock();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        if !self.is_set {
            self.is_set = true;
            let delay = self.until - state.now;
            state.put(delay, Event::Wake(context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Timer for VirtualTimer {
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let world = Arc::clone(&self.0);
        let until = world.now() + duration.as_millis() as u64;
        Box::pin(Sleep { world, until, is_set: false })
    }
}
