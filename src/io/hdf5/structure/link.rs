//! Links: what the members of a group are called and where they are.

use super::image::{Fields, Problem};

/// A member of a group.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io) struct Link {
    pub name: String,
    pub target: Target,
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io) enum Target {
    /// The object header of an object of this file.
    Object(u64),
    /// A path in this file, which may lead nowhere.
    Soft(String),
    /// A path in another file.
    External { file: String, path: String },
    /// A kind of link that its user defined.
    Other(u8),
}

impl Link {
    /// From the body of a link message.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::new(body);
        let version = fields.byte()?;
        if version != 1 {
            return Err(Problem::new(format!(
                "a link has version {version}, known is 1"
            )));
        }
        let flags = fields.byte()?;
        let kind = if flags & 0x08 != 0 { fields.byte()? } else { 0 };
        if flags & 0x04 != 0 {
            fields.take(8)?;
        }
        if flags & 0x10 != 0 {
            fields.take(1)?;
        }
        let length = fields.number(1 << (flags & 3))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let name = text(fields.take(length)?);
        let target = match kind {
            0 => Target::Object(fields.long()?),
            1 => {
                let length = usize::from(fields.short()?);
                Target::Soft(text(fields.take(length)?))
            }
            64 => {
                let length = usize::from(fields.short()?);
                let value = fields.take(length)?;
                let mut parts = value.get(1..).unwrap_or_default().split(|&byte| byte == 0);
                Target::External {
                    file: text(parts.next().unwrap_or_default()),
                    path: text(parts.next().unwrap_or_default()),
                }
            }
            other => Target::Other(other),
        };
        Ok(Self { name, target })
    }

    /// The body of the message of a link to an object; `order` where the group numbers its links.
    pub(super) fn encode(name: &str, object: u64, order: Option<u64>) -> Vec<u8> {
        let mut body = vec![1, 0x10 | 0x03];
        if let Some(order) = order {
            body[1] |= 0x04;
            body.extend(order.to_le_bytes());
        }
        body.push(1);
        body.extend((name.len() as u64).to_le_bytes());
        body.extend(name.as_bytes());
        body.extend(object.to_le_bytes());
        body
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
