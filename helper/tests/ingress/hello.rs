//! TLS hellos as clients send them (RFC 8446, 4.1.2; RFC 6066, 3 for the server name).

/// A hello for this name; `padding` bytes of an extension make it as large as post-quantum ones are.
pub(crate) fn hello(name: Option<&str>, padding: usize) -> Vec<u8> {
    let mut extensions = Vec::new();
    // Post-quantum clients send their key share before the name in no fixed order: the name is last here.
    extension(&mut extensions, 21, &vec![0; padding]);
    if let Some(name) = name {
        let mut list = vec![0];
        list.extend(length16(name.len()));
        list.extend(name.as_bytes());
        let mut body = length16(list.len()).to_vec();
        body.extend(list);
        extension(&mut extensions, 0, &body);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2, 0x13, 0x01, 1, 0]);
    body.extend(length16(extensions.len()));
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(length16(body.len()));
    message.extend(body);
    message
}

/// The message in records of at most so many bytes.
pub(crate) fn records(message: &[u8], most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(most) {
        bytes.extend([22, 3, 1]);
        bytes.extend(length16(part.len()));
        bytes.extend(part);
    }
    bytes
}

/// One record, as nearly all clients send it.
pub(crate) fn plain(name: &str) -> Vec<u8> {
    records(&hello(Some(name), 200), 16_384)
}

fn extension(to: &mut Vec<u8>, kind: u16, body: &[u8]) {
    to.extend(kind.to_be_bytes());
    to.extend(length16(body.len()));
    to.extend(body);
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}
