"""A cable between two TUN interfaces: packets come late, and some never. `cut` and `mend` on standard input."""
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return end


one, other = tun(sys.argv[1]), tun(sys.argv[2])
delay, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
print("ready", flush=True)
late: list[tuple[float, int, int, bytes]] = []
whole, sent = True, 0
while True:
    wait = max(0.0, late[0][0] - time.monotonic()) if late else None
    for end in select.select([one, other, 0], [], [], wait)[0]:
        if end == 0:
            said = os.read(0, 64)
            if not said:
                sys.exit()
            whole = b"cut" not in said
            continue
        packet = os.read(end, 65536)
        if whole and random.random() >= loss:
            # Numbered, so that what leaves at one moment keeps its order.
            sent += 1
            heapq.heappush(late, (time.monotonic() + delay, sent, other if end == one else one, packet))
    while late and late[0][0] <= time.monotonic():
        _, _, to, packet = heapq.heappop(late)
        try:
            os.write(to, packet)
        except OSError:
            pass  # its interface is down
