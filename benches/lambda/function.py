"""What the function does in one look, as short as Python with boto3 says it: the other side of the comparison in benches/lambda.

It looks at the name and at the target group, registers what is missing and leaves the rest alone: no conditions of a removal,
no memory, no metrics.
"""

import os
import socket
import struct

import boto3

ARN = os.environ["TARGET_GROUP"]
HOST, PORT = os.environ["ENDPOINT"].rsplit(":", 1)
SERVER, SERVER_PORT = os.environ["NAMESERVER"].rsplit(":", 1)
elb = boto3.client("elbv2")


def resolve(host):
    """The A records of a name. In Lambda this is socket.getaddrinfo, which asks the machine's name server alone."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    query = struct.pack(">6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(query, (SERVER, int(SERVER_PORT)))
        reply = asking.recv(4096)
    at, addresses = len(query), set()
    for _ in range(struct.unpack_from(">H", reply, 6)[0]):
        while 0 < reply[at] < 0xC0:
            at += 1 + reply[at]
        at += 2 if reply[at] else 1
        kind, _, _, length = struct.unpack_from(">HHIH", reply, at)
        if kind == 1:
            addresses.add(socket.inet_ntoa(reply[at + 10 : at + 14]))
        at += 10 + length
    return addresses


def handler(event, context):
    named = resolve(HOST)
    listed = elb.describe_target_health(TargetGroupArn=ARN)["TargetHealthDescriptions"]
    registered = {target["Target"]["Id"] for target in listed if target["TargetHealth"]["State"] != "draining"}
    missing = sorted(named - registered)
    if missing:
        elb.register_targets(TargetGroupArn=ARN, Targets=[{"Id": address, "Port": int(PORT)} for address in missing])
    return {"named": sorted(named), "registered": sorted(registered), "missing": missing}
