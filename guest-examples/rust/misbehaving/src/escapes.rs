//! Tries to get out: through files, sockets and names.

use serde_json::{Value, json};

use crate::wasi::filesystem::preopens;
use crate::wasi::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use crate::wasi::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use crate::wasi::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};
use crate::{Failure, failure, number};

/// Does things to files, one after another, and tells what came of each: a text, or `{"error": "not-permitted"}`.
///
/// `{"mode": "files", "calls": [["read", "/data", "notes.txt"], ["write", "/data", "new.txt", "text"], …]}`. The path is
/// given to the host as it stands there, below the directory that was granted under the name before it.
pub fn files(input: &Value) -> Result<String, Failure> {
    let calls = input.get("calls").and_then(Value::as_array);
    let calls = calls.ok_or_else(|| failure("calls must be a list", json!({ "field": "calls" })))?;
    let done: Vec<Value> =
        calls.iter().map(|call| one(call).unwrap_or_else(|error| json!({ "error": error }))).collect();
    Ok(Value::from(done).to_string())
}

fn one(call: &Value) -> Result<Value, String> {
    let text = |index: usize| call.get(index).and_then(Value::as_str).unwrap_or("");
    let directory = granted(text(1))?;
    let (path, last) = (text(2), text(3));
    let done = match text(0) {
        "read" => open(&directory, path, OpenFlags::empty(), DescriptorFlags::READ)
            .and_then(|file| file.read(1 << 16, 0))
            .map(|(bytes, _)| Value::from(String::from_utf8_lossy(&bytes).into_owned())),
        "write" => open(&directory, path, OpenFlags::CREATE, DescriptorFlags::WRITE)
            .and_then(|file| file.write(last.as_bytes(), 0))
            .map(Value::from),
        "truncate" => open(&directory, path, OpenFlags::TRUNCATE, DescriptorFlags::WRITE).map(|_| Value::Null),
        "set-size" => open(&directory, path, OpenFlags::empty(), DescriptorFlags::READ)
            .and_then(|file| file.set_size(0))
            .map(|()| Value::Null),
        "open-directory" => open(&directory, path, OpenFlags::DIRECTORY, DescriptorFlags::READ).map(|_| Value::Null),
        "create-directory" => directory.create_directory_at(path).map(|()| Value::Null),
        "unlink" => directory.unlink_file_at(path).map(|()| Value::Null),
        "readlink" => directory.readlink_at(path).map(Value::from),
        "symlink" => directory.symlink_at(last, path).map(|()| Value::Null),
        "link" => directory.link_at(PathFlags::empty(), path, &directory, last).map(|()| Value::Null),
        "rename" => directory.rename_at(path, &directory, last).map(|()| Value::Null),
        other => return Err(format!("{other} is no call")),
    };
    done.map_err(|error| error.name().to_owned())
}

fn granted(name: &str) -> Result<Descriptor, String> {
    let found = preopens::get_directories().into_iter().find(|(_, path)| path == name);
    found.map(|(directory, _)| directory).ok_or_else(|| "not granted".to_owned())
}

fn open(directory: &Descriptor, path: &str, how: OpenFlags, what: DescriptorFlags) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::SYMLINK_FOLLOW, path, how, what)
}

/// Opens `count` files, the one called `path` in the directory granted as `directory`, and keeps them all open.
pub fn open_files(input: &Value) -> Result<String, Failure> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or("");
    let directory = granted(text("directory")).map_err(|error| failure(error, json!({})))?;
    let count = number(input, "count", 10_000)?;
    let mut kept = Vec::new();
    for _ in 0..count {
        let file = open(&directory, text("path"), OpenFlags::empty(), DescriptorFlags::READ);
        kept.push(file.map_err(|error| failure(error.name(), json!({ "open": kept.len() })))?);
    }
    Ok(json!({ "open": kept.len() }).to_string())
}

/// Opens sockets and looks a name up, and tells what came of each.
pub fn sockets(input: &Value) -> Result<String, Failure> {
    let port = u16::try_from(number(input, "port", 80)?).unwrap_or(u16::MAX);
    let network = instance_network::instance_network();
    let loopback = |port| IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let connected = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).and_then(|socket| {
        socket.start_connect(&network, loopback(port)).and_then(|()| socket.finish_connect().map(drop))
    });
    let listening = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)
        .and_then(|socket| socket.start_bind(&network, loopback(0)));
    let datagrams = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4)
        .and_then(|socket| socket.start_bind(&network, loopback(0)));
    let looked_up = |name: &str| ip_name_lookup::resolve_addresses(&network, name).map(drop);
    let told = |done: Result<(), crate::wasi::sockets::network::ErrorCode>| match done {
        Ok(()) => Value::from("done"),
        Err(error) => Value::from(error.name()),
    };
    Ok(json!({
        "connect": told(connected),
        "listen": told(listening),
        "datagrams": told(datagrams),
        "lookup": told(looked_up("localhost")),
        "lookup-address": told(looked_up("127.0.0.1")),
    })
    .to_string())
}
