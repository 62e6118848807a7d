//! Groups: their links, and new ones in them.

use super::dense;
use super::header::{Header, MOST_BYTES, Message, attribute_name, kind};
use super::image::{Fields, Image, Problem};
use super::link::{Link, Target};
use super::symbol_table::SymbolTable;
use super::{Superblock, UNDEFINED};

/// Changes to a group.
#[derive(Debug, Default)]
pub(in crate::io) struct Changes {
    /// Links to objects, in place of those of the same names.
    pub links: Vec<(String, u64)>,
    /// Names of links that go.
    pub removed: Vec<String>,
    /// An attribute, in place of the one of the same name.
    pub attribute: Option<Message>,
}

/// A group and where it is.
#[derive(Debug)]
pub(in crate::io) struct Group {
    header: Header,
}

impl Group {
    /// The root of the file.
    pub fn root(image: &Image) -> Result<Self, Problem> {
        Self::at(image, image.superblock().root)?
            .ok_or_else(|| Problem::new("its root is a dataset, expected a group"))
    }

    /// The group at an address; `None` where there is a dataset.
    pub fn at(image: &Image, address: u64) -> Result<Option<Self>, Problem> {
        let header = Header::read(image, address)?;
        let is_dataset = header.find(kind::LAYOUT).is_some();
        Ok((!is_dataset).then_some(Self { header }))
    }

    /// All links, in the order in which they are stored.
    pub fn links(&self, image: &Image) -> Result<Vec<Link>, Problem> {
        if let Some(message) = self.header.find(kind::SYMBOL_TABLE) {
            return SymbolTable::read(image, &message.body)?.links();
        }
        self.link_messages(image)?
            .iter()
            .map(|body| Link::parse(body))
            .collect()
    }

    /// The member of this name.
    pub fn find(&self, image: &Image, name: &str) -> Result<Option<Target>, Problem> {
        let found = self
            .links(image)?
            .into_iter()
            .find(|link| link.name == name);
        Ok(found.map(|link| link.target))
    }

    /// Bodies of link messages, wherever they lie.
    fn link_messages(&self, image: &Image) -> Result<Vec<Vec<u8>>, Problem> {
        if let Some(info) = self.header.find(kind::LINK_INFO)
            && let Some((heap, tree)) = Many::of_links(&info.body)?.places()
        {
            let links = dense::read(image, heap, tree, dense::Kind::Links)?;
            return Ok(links.into_iter().map(|link| link.bytes).collect());
        }
        let messages = self.header.messages.iter();
        Ok(messages
            .filter(|message| message.kind == kind::LINK)
            .map(|message| message.body.clone())
            .collect())
    }

    /// The message of an attribute that lies in the header.
    pub fn attribute(&self, name: &str) -> Option<&Message> {
        self.header
            .messages
            .iter()
            .find(|message| message.attribute_name() == Some(name.as_bytes()))
    }

    /// Makes the changes where the group is.
    pub fn change(mut self, image: &mut Image, changes: Changes) -> Result<(), Problem> {
        let has_attribute = changes.attribute.is_some();
        if let Some(attribute) = changes.attribute {
            self.put_attribute(image, attribute)?;
        }
        if let Some(message) = self.header.find(kind::SYMBOL_TABLE) {
            let table = SymbolTable::read(image, &message.body)?;
            table.store(image, &changes.links, &changes.removed)?;
            return if has_attribute {
                self.header.store(image)
            } else {
                Ok(())
            };
        }
        self.put_links(image, &changes.links, &changes.removed)?;
        self.header.store(image)
    }

    /// Links become messages of the header, however many there are.
    fn put_links(
        &mut self,
        image: &Image,
        new: &[(String, u64)],
        removed: &[String],
    ) -> Result<(), Problem> {
        let bodies = self.link_messages(image)?;
        let messages = &mut self.header.messages;
        messages.retain(|message| message.kind != kind::LINK);
        let info = messages
            .iter_mut()
            .find(|message| message.kind == kind::LINK_INFO && !message.is_shared())
            .ok_or_else(|| Problem::new("a group does not say how its links are stored"))?;
        let mut many = Many::of_links(&info.body)?;
        let mut links = Vec::with_capacity(bodies.len() + new.len());
        for body in bodies {
            let link = Link::parse(&body)?;
            let is_new = new.iter().any(|(name, _)| *name == link.name);
            if !is_new && !removed.contains(&link.name) {
                links.push(Message::new(kind::LINK, body));
            }
        }
        for (name, object) in new {
            let body = Link::encode(name, *object, many.next_order()?);
            links.push(Message::new(kind::LINK, body));
        }
        info.body = many.few();
        messages.extend(links);
        Ok(())
    }

    fn put_attribute(&mut self, image: &Image, mut attribute: Message) -> Result<(), Problem> {
        let name = attribute.attribute_name().unwrap_or_default().to_vec();
        self.gather_attributes(image)?;
        let messages = &mut self.header.messages;
        let of_name = |message: &Message| message.attribute_name() == Some(&name);
        match messages.iter_mut().find(|message| of_name(message)) {
            Some(old) => {
                attribute.order = old.order;
                *old = attribute;
            }
            None => {
                let info = messages
                    .iter_mut()
                    .find(|message| message.kind == kind::ATTRIBUTE_INFO);
                if let Some(info) = info {
                    let mut many = Many::of_attributes(&info.body)?;
                    attribute.order = many.next_order()?.unwrap_or_default() as u16;
                    info.body = many.bytes;
                }
                messages.push(attribute);
            }
        }
        Ok(())
    }

    /// Attributes become messages of the header, however many there are.
    fn gather_attributes(&mut self, image: &Image) -> Result<(), Problem> {
        let messages = &mut self.header.messages;
        let Some(info) = messages
            .iter_mut()
            .find(|message| message.kind == kind::ATTRIBUTE_INFO)
        else {
            return Ok(());
        };
        let many = Many::of_attributes(&info.body)?;
        let Some((heap, tree)) = many.places() else {
            return Ok(());
        };
        let mut attributes = Vec::new();
        for dense::Object {
            bytes: body,
            record,
        } in dense::read(image, heap, tree, dense::Kind::Attributes)?
        {
            // After the identifier: flags of the message, its number.
            let mut fields = Fields::new(record.get(8..).unwrap_or_default());
            let (flags, order) = (fields.byte()?, fields.number(4)?);
            if body.len() > MOST_BYTES || attribute_name(&body).is_none() {
                return Err(Problem::new("an attribute is longer than a header allows"));
            }
            attributes.push(Message {
                kind: kind::ATTRIBUTE,
                flags,
                order: order as u16,
                body,
            });
        }
        info.body = many.few();
        messages.extend(attributes);
        Ok(())
    }
}

/// The message that says where many links or attributes lie.
struct Many {
    bytes: Vec<u8>,
    /// Where the next number stands, and how many bytes it has.
    order: Option<(usize, usize)>,
    heap_at: usize,
}

impl Many {
    fn of_links(body: &[u8]) -> Result<Self, Problem> {
        Self::parse(body, 8)
    }

    fn of_attributes(body: &[u8]) -> Result<Self, Problem> {
        Self::parse(body, 2)
    }

    fn parse(body: &[u8], width: usize) -> Result<Self, Problem> {
        let mut fields = Fields::new(body);
        fields.take(1)?;
        let flags = fields.byte()?;
        let numbered = flags & 1 != 0;
        let heap_at = 2 + if numbered { width } else { 0 };
        if body.len() < heap_at + 16 + if flags & 2 != 0 { 8 } else { 0 } {
            return Err(Problem::new("a structure ends too early"));
        }
        Ok(Self {
            bytes: body.to_vec(),
            order: numbered.then_some((2, width)),
            heap_at,
        })
    }

    /// The heap and the tree by name; `None` where all lies in the header.
    fn places(&self) -> Option<(u64, u64)> {
        let number = |at: usize| {
            let bytes = self.bytes[at..at + 8].iter().rev();
            bytes.fold(0u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let heap = number(self.heap_at);
        (heap != UNDEFINED).then(|| (heap, number(self.heap_at + 8)))
    }

    /// The next number, where there are numbers.
    fn next_order(&mut self) -> Result<Option<u64>, Problem> {
        let Some((at, width)) = self.order else {
            return Ok(None);
        };
        let field = &mut self.bytes[at..at + width];
        let number = Fields::new(field).number(width)?;
        let used_up = || Problem::new("a group has used up the numbers of its members");
        let next = number.checked_add(1).ok_or_else(used_up)?.to_le_bytes();
        if next[width..].iter().any(|&byte| byte != 0) {
            return Err(used_up());
        }
        field.copy_from_slice(&next[..width]);
        Ok(Some(number))
    }

    /// The message when all lies in the header.
    fn few(mut self) -> Vec<u8> {
        self.bytes[self.heap_at..].fill(0xff);
        self.bytes
    }
}

/// Refuses an object whose many attributes claim more than the file holds.
pub(in crate::io) fn check_attributes(image: &Image, address: u64) -> Result<(), Problem> {
    let header = Header::read(image, address)?;
    let Some(info) = header.find(kind::ATTRIBUTE_INFO) else {
        return Ok(());
    };
    match Many::of_attributes(&info.body)?.places() {
        Some((heap, tree)) => dense::check_attributes(image, heap, tree),
        None => Ok(()),
    }
}

impl Superblock {
    /// The ranks of trees of groups that an extension of the superblock gives.
    pub(super) fn read_extension(&mut self, image: &Image) -> Result<(), Problem> {
        let Some(extension) = self.extension else {
            return Ok(());
        };
        if let Some(ranks) = Header::read(image, extension)?.find(kind::TREE_RANKS) {
            let mut fields = Fields::new(&ranks.body);
            fields.take(3)?;
            self.node_rank = usize::from(fields.short()?).max(1);
            self.leaf_rank = usize::from(fields.short()?).max(1);
        }
        Ok(())
    }
}
