//! Ports, as far as the end of processes and threads needs them (reactos.md 4.6, 10.6): requests that are
//! answered, the close of a client's port, and the ports that nobody tells of a thread's end.
//!
//! There is one server to connect to, CSRSS. The sheet says what it does, and not how a connection is made:
//! here it is one call, and each connection gets a server thread of its own.

pub(crate) mod csrss;
pub(crate) mod services;

use crate::{ex::pool, ke, layout::*, ob};
use guest::{Pointer, Read, Va, Write};
use machine::Machine;

/// The tag of messages. The sheet names none.
const MESSAGE_TAG: u32 = pool::tag(b"LPCM");

/// Makes a port for a client process; none without pool.
pub(crate) fn create(m: &mut Machine, client: u32) -> R<Option<KPort>> {
    let Some(body) = ob::object::create(m, Type::Port, KPort::EXTENT, false)? else { return Ok(None) };
    let port = KPort(body);
    ke::event::init_semaphore(m, port.semaphore(), 0, i32::MAX)?;
    port.queue().init(m)?;
    m.set(port.client(), client)?;
    Ok(Some(port))
}

/// Queues a message of the current thread's at a port; none without pool.
pub(crate) fn send(m: &mut Machine, port: KPort, kind: u32, argument: u32) -> R<Option<LpcMessage>> {
    let Some(at) = pool::allocate_zeroed(m, MESSAGE_TAG, LpcMessage::EXTENT)? else { return Ok(None) };
    let (message, sender) = (LpcMessage(at), ke::current(m)?);
    ob::object::add_reference(m, sender.0)?;
    m.set(message.kind(), kind)?;
    m.set(message.argument(), argument)?;
    m.set(message.sender(), sender)?;
    port.queue().push_back(m, message.link())?;
    announce(m, port)?;
    Ok(Some(message))
}

/// One more unit for the server thread, which is unblocked with the increment of semaphores.
fn announce(m: &mut Machine, port: KPort) -> R<()> {
    let header = port.semaphore().header();
    let count = m.get(header.signal_state())?;
    m.set(header.signal_state(), count + 1)?;
    if count == 0 {
        ke::wake::object(m, header, 1)?;
    }
    Ok(())
}

/// The type's Close(Body, HandleCount): the last handle of a port that its server still holds tells the
/// server (10.6). The counts are those inside the close: two references, the server's and the close's own.
pub(crate) fn close(m: &mut Machine, body: Va, handles: i32) -> R<()> {
    if handles == 0 && m.get(ob::object::header(body).ref_count())? == 2 {
        let port = KPort(body);
        m.set(port.closed(), 1)?;
        announce(m, port)?;
    }
    Ok(())
}
