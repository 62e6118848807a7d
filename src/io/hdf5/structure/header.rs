//! Object headers: the messages that describe a group or dataset.

use std::collections::HashSet;

use super::checksum::lookup3;
use super::image::{Fields, Image, Problem};

/// Kinds of messages.
pub(in crate::io) mod kind {
    pub const NIL: u16 = 0x00;
    pub const LINK_INFO: u16 = 0x02;
    pub const LINK: u16 = 0x06;
    pub const LAYOUT: u16 = 0x08;
    pub const FILTERS: u16 = 0x0b;
    pub const GROUP_INFO: u16 = 0x0a;
    pub const ATTRIBUTE: u16 = 0x0c;
    pub const CONTINUATION: u16 = 0x10;
    pub const SYMBOL_TABLE: u16 = 0x11;
    pub const TREE_RANKS: u16 = 0x13;
    pub const ATTRIBUTE_INFO: u16 = 0x15;
}

/// What a message takes at most.
pub(in crate::io) const MOST_BYTES: usize = 65_528;
/// The flag of a header whose messages are numbered.
const NUMBERED: u8 = 0x04;

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io) struct Message {
    pub kind: u16,
    pub flags: u8,
    /// Its number among attributes, where the header numbers them.
    pub order: u16,
    pub body: Vec<u8>,
}

impl Message {
    /// A message without flags.
    pub fn new(kind: u16, body: Vec<u8>) -> Self {
        Self {
            kind,
            flags: 0,
            order: 0,
            body,
        }
    }

    /// Whether the body is where it says and not somewhere else.
    pub fn is_shared(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// The name of an attribute.
    pub fn attribute_name(&self) -> Option<&[u8]> {
        if self.kind != kind::ATTRIBUTE || self.is_shared() {
            return None;
        }
        attribute_name(&self.body)
    }
}

/// The name in the body of an attribute message.
pub(super) fn attribute_name(body: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_le_bytes(body.get(2..4)?.try_into().ok()?));
    let start = if *body.first()? == 3 { 9 } else { 8 };
    let name = body.get(start..start + length)?;
    Some(name.strip_suffix(b"\0").unwrap_or(name))
}

/// An object header, taken apart.
#[derive(Debug)]
pub(in crate::io) struct Header {
    address: u64,
    version: u8,
    flags: u8,
    /// Where its first chunk of messages begins, and how many bytes that has.
    first: (u64, usize),
    /// All but those without content and those that lead to further chunks.
    pub messages: Vec<Message>,
}

impl Header {
    pub fn read(image: &Image, address: u64) -> Result<Self, Problem> {
        let start = image.read(address, 4)?;
        if start == b"OHDR" {
            return Self::read_version_2(image, address);
        }
        let prefix = image.read(address, 16)?;
        if prefix[0] != 1 {
            return Err(Problem::new(format!(
                "an object header has version {}, known are 1 and 2",
                prefix[0]
            )));
        }
        let mut fields = Fields::new(&prefix[8..]);
        let length = fields.number(4)? as usize;
        let mut header = Self {
            address,
            version: 1,
            flags: 0,
            first: (address + 16, length),
            messages: Vec::new(),
        };
        header.read_chunks(image)?;
        Ok(header)
    }

    fn read_version_2(image: &Image, address: u64) -> Result<Self, Problem> {
        let prefix = image.read(address, 6)?;
        if prefix[4] != 2 {
            return Err(Problem::new(format!(
                "an object header has version {}, known are 1 and 2",
                prefix[4]
            )));
        }
        let flags = prefix[5];
        let times = if flags & 0x20 != 0 { 16 } else { 0 };
        let phases = if flags & 0x10 != 0 { 4 } else { 0 };
        let width = 1usize << (flags & 3);
        let length_at = address + 6 + times + phases;
        let length = Fields::new(&image.read(length_at, width)?).number(width)?;
        let length = usize::try_from(length)
            .map_err(|_| Problem::new("an object header is longer than the file"))?;
        let mut header = Self {
            address,
            version: 2,
            flags,
            first: (length_at + width as u64, length),
            messages: Vec::new(),
        };
        header.read_chunks(image)?;
        Ok(header)
    }

    fn read_chunks(&mut self, image: &Image) -> Result<(), Problem> {
        let mut chunks = vec![self.first];
        let mut seen = HashSet::new();
        let mut bytes_left = image.end();
        while let Some((start, length)) = chunks.pop() {
            if !seen.insert(start) {
                return Err(Problem::new("the chunks of an object header form a circle"));
            }
            bytes_left = bytes_left
                .checked_sub(length as u64)
                .ok_or_else(|| Problem::new("an object header is longer than the file"))?;
            let bytes = image.read(start, length)?;
            let mut fields = Fields::new(&bytes);
            while fields.rest() >= self.prefix() {
                let message = self.message(&mut fields)?;
                match message.kind {
                    kind::NIL => {}
                    kind::CONTINUATION => {
                        let mut fields = Fields::new(&message.body);
                        let (start, length) = (fields.long()?, fields.long()?);
                        let length = usize::try_from(length)
                            .map_err(|_| Problem::new("a chunk is longer than the file"))?;
                        chunks.push(if self.version == 1 {
                            (start, length)
                        } else {
                            // Between a signature and a checksum.
                            let inner = length
                                .checked_sub(8)
                                .ok_or_else(|| Problem::new("a chunk of a header is too short"))?;
                            image_signature(image, start, b"OCHK")?;
                            (start + 4, inner)
                        });
                    }
                    _ => self.messages.push(message),
                }
            }
        }
        Ok(())
    }

    /// Bytes before the body of a message.
    fn prefix(&self) -> usize {
        match self.version {
            1 => 8,
            _ if self.flags & NUMBERED != 0 => 6,
            _ => 4,
        }
    }

    fn message(&self, fields: &mut Fields<'_>) -> Result<Message, Problem> {
        let (kind, length, flags, order);
        if self.version == 1 {
            (kind, length) = (fields.short()?, fields.short()?);
            (flags, order) = (fields.byte()?, 0);
            fields.take(3)?;
        } else {
            (kind, length) = (u16::from(fields.byte()?), fields.short()?);
            flags = fields.byte()?;
            order = if self.flags & NUMBERED != 0 {
                fields.short()?
            } else {
                0
            };
        }
        Ok(Message {
            kind,
            flags,
            order,
            body: fields.take(usize::from(length))?.to_vec(),
        })
    }

    fn encode(&self, message: &Message, into: &mut Vec<u8>) -> Result<(), Problem> {
        let length = match self.version {
            1 => message.body.len().next_multiple_of(8),
            _ => message.body.len(),
        };
        if length > MOST_BYTES {
            return Err(Problem::new(format!(
                "a message of an object header takes {length} bytes, {MOST_BYTES} are possible"
            )));
        }
        let length_bytes = (length as u16).to_le_bytes();
        if self.version == 1 {
            into.extend(message.kind.to_le_bytes());
            into.extend(length_bytes);
            into.extend([message.flags, 0, 0, 0]);
        } else {
            into.push(message.kind as u8);
            into.extend(length_bytes);
            into.push(message.flags);
            if self.flags & NUMBERED != 0 {
                into.extend(message.order.to_le_bytes());
            }
        }
        into.extend(&message.body);
        into.resize(into.len() + length - message.body.len(), 0);
        Ok(())
    }

    /// The first message of a kind.
    pub fn find(&self, kind: u16) -> Option<&Message> {
        self.messages.iter().find(|message| message.kind == kind)
    }

    /// Puts the messages, which may have changed, where the header is: its first chunk leads to a
    /// new one that holds them all.
    pub fn store(&self, image: &mut Image) -> Result<(), Problem> {
        let mut chunk = Vec::new();
        if self.version == 2 {
            chunk.extend(b"OCHK");
        }
        for message in &self.messages {
            self.encode(message, &mut chunk)?;
        }
        if self.version == 2 {
            let sum = lookup3(&chunk);
            chunk.extend(sum.to_le_bytes());
        }
        let length = chunk.len() as u64;
        let at = image.append(chunk);

        let (start, room) = self.first;
        let mut first = Vec::with_capacity(room);
        let mut place = at.to_le_bytes().to_vec();
        place.extend(length.to_le_bytes());
        self.encode(&Message::new(kind::CONTINUATION, place), &mut first)?;
        let mut count = self.messages.len() + 1;
        if first.len() > room {
            return Err(Problem::new(
                "an object header has no room for the address of its continuation",
            ));
        }
        // Messages without content fill what was taken before; less than one needs stays empty.
        while room - first.len() >= self.prefix() {
            let body = (room - first.len() - self.prefix()).min(MOST_BYTES);
            self.encode(&Message::new(kind::NIL, vec![0; body]), &mut first)?;
            count += 1;
        }
        first.resize(room, 0);
        if self.version == 1 {
            let count = u16::try_from(count)
                .map_err(|_| Problem::new("an object header has too many messages"))?;
            image.write(self.address + 2, count.to_le_bytes().to_vec());
            image.write(start, first);
            return Ok(());
        }
        let prefix = usize::try_from(start - self.address).unwrap_or_default();
        let mut whole = image.read(self.address, prefix)?;
        whole.extend(first);
        let sum = lookup3(&whole);
        whole.extend(sum.to_le_bytes());
        image.write(self.address, whole);
        Ok(())
    }

    /// The bytes of a new group without links.
    pub fn empty_group() -> Vec<u8> {
        let mut messages = vec![kind::LINK_INFO as u8, 18, 0, 0, 0, 0];
        messages.extend([0xff; 16]);
        messages.extend([kind::GROUP_INFO as u8, 2, 0, 0, 0, 0]);
        let mut bytes = b"OHDR\x02\x00".to_vec();
        bytes.push(messages.len() as u8);
        bytes.extend(messages);
        let sum = lookup3(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }
}

fn image_signature(image: &Image, at: u64, expected: &[u8; 4]) -> Result<(), Problem> {
    Fields::new(&image.read(at, 4)?).signature(expected)
}
