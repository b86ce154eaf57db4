"""What `rds-tether plan` does, as short as Python with boto3 says it: the other side of the comparison in benches/core.

One look at the name and at the target group; prints the difference. Exit 0 if there is none, 2 if there is one.
"""

import sys

import boto3
import dns.resolver


def main(nameserver, endpoint, arn):
    server, server_port = nameserver.rsplit(":", 1)
    host, port = endpoint.rsplit(":", 1)

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server]
    resolver.port = int(server_port)
    named = {(record.address, int(port)) for record in resolver.resolve(host, "A")}

    elb = boto3.client("elbv2", region_name=arn.split(":")[3])
    group = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
    listed = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    registered = {
        (target["Target"]["Id"], target["Target"].get("Port", group["Port"]))
        for target in listed
        if target["TargetHealth"]["State"] != "draining"
    }

    lines = [f"+ {address}:{port}" for address, port in sorted(named - registered)]
    lines += [f"- {address}:{port}" for address, port in sorted(registered - named)]
    print(f"{group['TargetGroupName']} ({group['TargetType']}):", *lines, sep="\n", flush=True)
    return 2 if lines else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
