//! Reading ahead in a thread: decompression beside parsing.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Small enough that allocators reuse the memory of earlier blocks instead of asking the system.
const BLOCK_BYTES: usize = 1 << 16;
/// Blocks that may wait to be parsed: enough to even out the two sides, little memory.
const BLOCKS_AHEAD: usize = 8;

/// A reader whose source is read by a thread of its own, which ends with the source or the reader.
pub(super) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    position: usize,
}

impl ReadAhead {
    pub fn new(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        thread::Builder::new()
            .name("celldec read ahead".into())
            .spawn(move || send_blocks(source, &sender))?;
        Ok(Self {
            blocks,
            block: Vec::new(),
            position: 0,
        })
    }
}

fn send_blocks(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let read = source
            .by_ref()
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block);
        // What came before an error is good, and the reader of it may be done before.
        let at_end = read.is_err() || block.is_empty();
        if !block.is_empty() && sender.send(Ok(block)).is_err() {
            return;
        }
        if let Err(error) = read {
            // Nobody is left to tell when the reader has gone.
            let _ = sender.send(Err(error));
        }
        if at_end {
            return;
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.block.len() {
            self.position = 0;
            // A closed channel is the end of the source.
            self.block = self.blocks.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
        }
        Ok(&self.block[self.position..])
    }

    fn consume(&mut self, bytes: usize) {
        self.position = (self.position + bytes).min(self.block.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes, then an error.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("broken"));
            }
            let read = self.0.min(buffer.len()).min(1000);
            buffer[..read].fill(7);
            self.0 -= read;
            Ok(read)
        }
    }

    #[test]
    fn every_byte_arrives_in_order() {
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 17).map(|i| (i % 251) as u8).collect();
        let mut found = Vec::new();
        let mut reader = ReadAhead::new(io::Cursor::new(bytes.clone())).unwrap();
        reader.read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
        assert_eq!(reader.fill_buf().unwrap(), b"");
    }

    #[test]
    fn an_error_comes_after_what_was_read_before() {
        let length = BLOCK_BYTES + 100;
        let mut found = Vec::new();
        let error = ReadAhead::new(Failing(length))
            .unwrap()
            .read_to_end(&mut found)
            .unwrap_err();
        assert_eq!(error.to_string(), "broken");
        assert_eq!(found.len(), length);
    }

    #[test]
    fn a_reader_may_stop_early() {
        let mut reader = ReadAhead::new(io::repeat(1)).unwrap();
        assert_eq!(reader.fill_buf().unwrap()[0], 1);
        drop(reader);
    }
}
