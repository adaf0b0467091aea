"""The socket below the MQTT client: few large reads and writes, and messages taken out before paho sees them.

paho reads a packet in three or more `recv` calls and passes a message through a dozen of its own: measured, that is
most of the cost of receiving one. To paho this looks like a non-blocking socket that is never full and on which nobody
publishes. Over TLS it is the same: the handshake is over when the socket gets here.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

from headend.links.frames import Publish, frame_extent, is_plain_publish, parse_publish

# Some 50 messages: the writer gets the loop between two reads, and a transaction takes eight turns of it.
_CHUNK = 16 * 1024
# A packet is collected in one piece up to here; beyond, paho collects it without copying it again with each read.
_LARGE = 256 * 1024


class BufferedSocket:
    """A connected, non-blocking socket on the running loop; `on_readable` is called when there is input to `fill`."""

    def __init__(self, sock: socket.socket, on_readable: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_readable = on_readable
        self._in = b""
        self._in_position = 0
        self._granted = 0
        self._ended = False
        self._out = bytearray()
        self._flush_scheduled = False
        self._writer_added = False
        self._reading = False
        self._closed = False
        #: Resolved when the peer has closed its side, too, of a connection that was ended in order.
        self._finished: asyncio.Future[None] | None = None

    def fill(self) -> None:
        """Take over what the kernel has. A closed or broken connection is told by the next `recv`."""
        try:
            data = self._sock.recv(_CHUNK)
            while isinstance(self._sock, ssl.SSLSocket) and (held := self._sock.pending()):
                # What TLS holds the kernel has no more: nobody would wake us for it.
                data += self._sock.recv(held)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
        self._in = self._in[self._in_position :] + data
        self._in_position = 0

    def publishes(self) -> Iterator[Publish]:
        """The messages that are complete at the front of the buffer, up to the first packet that is for paho.

        That one is then granted to `recv`, byte by byte as it comes, and nothing beyond it. Raises MalformedFrame.
        """
        while not self._granted and self._in_position < len(self._in):
            data, position = self._in, self._in_position
            extent = frame_extent(data, position)
            if extent is None:
                return
            start, end = extent
            first = data[position]
            if not is_plain_publish(first) or end - position > _LARGE:
                self._granted = end - position
            elif end > len(data):
                return
            else:
                message = parse_publish(data, first, start, end)
                self._in_position = end
                yield message

    @property
    def for_paho(self) -> int:
        """Bytes that `recv` would give now; 1 for the end of the stream, which `recv` tells as well."""
        return min(self._granted, len(self._in) - self._in_position) or int(self._ended and not self._closed)

    def resume_reading(self) -> None:
        """Watch for input."""
        if not self._reading and not self._closed:
            self._loop.add_reader(self._sock, self._on_readable)
            self._reading = True

    def pause_reading(self) -> None:
        """Leave input in the kernel, and so, before long, in the broker."""
        if self._reading:
            self._loop.remove_reader(self._sock)
            self._reading = False

    # What paho calls (paho.mqtt.client.SocketLike).

    def recv(self, size: int) -> bytes:
        position = self._in_position
        data = self._in[position : position + min(size, self._granted)]
        if not data and not self._ended:
            raise BlockingIOError
        self._in_position = position + len(data)
        self._granted -= len(data)
        return data

    def send(self, data: bytes) -> int:
        if self._closed:
            raise BrokenPipeError
        self._out += data
        if not self._flush_scheduled and not self._writer_added:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return len(data)

    def close(self) -> None:
        if not self._closed:
            # What paho said last, a DISCONNECT, should still go out.
            self._flush()
            self._closed = True
            self.pause_reading()
            self._watch_writable(False)
            if self._finished is None:
                self._sock.close()
            else:
                self._half_close(self._finished)

    def end_in_order(self) -> "asyncio.Future[None]":
        """Have `close` wait for the peer to close its side. Returns what says that it has.

        A client that is back before its DISCONNECT is read takes over its own session: the broker publishes its will.
        """
        self._finished = self._loop.create_future()
        return self._finished

    def abandon(self) -> None:
        """Wait for the peer no longer."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _half_close(self, finished: "asyncio.Future[None]") -> None:
        def drain() -> None:
            try:
                # Once a turn: whoever goes on sending holds up nobody else.
                if self._sock.recv(_CHUNK):
                    return
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError:
                pass
            self.abandon()
            if not finished.done():
                finished.set_result(None)

        # If the peer is gone already, `recv` tells it.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._loop.add_reader(self._sock, drain)

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """paho asks for False; it has been so from the start."""

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._closed or not self._out:
            return
        try:
            sent = self._sock.send(self._out)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:
            # The reader sees the end of the stream; here it would only be told twice.
            self._out.clear()
            self._watch_writable(False)
            return
        del self._out[:sent]
        self._watch_writable(bool(self._out))

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and not self._writer_added:
            self._loop.add_writer(self._sock, self._flush)
        elif not wanted and self._writer_added:
            self._loop.remove_writer(self._sock)
        self._writer_added = wanted
