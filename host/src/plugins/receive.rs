//! Owns receiving a component: bounded in size, in time, and in what all that are received together take.
//! Must not know what it is.

use super::UploadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest wait for the next piece.
const IDLE: Duration = Duration::from_secs(30);
/// The longest time of the whole.
const WHOLE: Duration = Duration::from_secs(600);

/// A component that has arrived.
pub struct Incoming {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its share of what all of them may take.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    /// Receives one.
    pub(super) async fn receive<E: std::fmt::Display>(
        body: impl Stream<Item = Result<Bytes, E>> + Send,
        most: u64,
        room: &Arc<Semaphore>,
    ) -> Result<Self, UploadError> {
        let receiving = async {
            let mut body = pin!(body);
            let mut incoming = Self { bytes: Vec::new(), room: None };
            while let Some(piece) = tokio::time::timeout(IDLE, body.next()).await.map_err(|_| UploadError::Slow)? {
                let piece = piece.map_err(|error| UploadError::Broken(error.to_string()))?;
                incoming.take(&piece, most, room)?;
            }
            Ok(incoming)
        };
        tokio::time::timeout(WHOLE, receiving).await.unwrap_or(Err(UploadError::Slow))
    }

    fn take(&mut self, piece: &Bytes, most: u64, room: &Arc<Semaphore>) -> Result<(), UploadError> {
        let size = self.bytes.len() + piece.len();
        if size as u64 > most {
            return Err(UploadError::TooLarge(most));
        }
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(size.div_ceil(1024).saturating_sub(held)).unwrap_or(u32::MAX);
        if missing > 0 {
            let full =
                |_| UploadError::Busy("the components that are being uploaded fill all the memory there is for them");
            let more = Arc::clone(room).try_acquire_many_owned(missing).map_err(full)?;
            match &mut self.room {
                Some(room) => room.merge(more),
                None => self.room = Some(more),
            }
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}
