//! Owns the bodies of guests' requests and of the responses to them: counted, and not waited for without end.
//! Must not know where they come from or go to.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// A guest's body, of which at most so many bytes are sent.
pub fn request(body: WasiBody, most: u64) -> WasiBody {
    let too_large = move || Error::HttpRequestBodySize(Some(most));
    Counted { body, left: most, too_large }.boxed_unsync()
}

/// A server's body, of which at most so many bytes are taken, with at most so much time between two parts of it.
pub fn response(body: Incoming, most: u64, between: Duration) -> WasiBody {
    let too_large = move || Error::HttpResponseBodySize(Some(most));
    Counted { body: Timed { body, between, waiting: None }, left: most, too_large }.boxed_unsync()
}

struct Counted<B, E> {
    body: B,
    left: u64,
    too_large: E,
}

impl<B, E> Body for Counted<B, E>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
    E: Fn() -> Error + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err((self.too_large)()))),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Timed {
    body: Incoming,
    between: Duration,
    /// Since the guest waits for the next part.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| super::send::meaning(&error))));
        }
        let between = self.between;
        let over = self.waiting.get_or_insert_with(|| Box::pin(sleep(between))).as_mut().poll(context);
        over.map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
