"""What the tests of the templates cannot do in Rust, one JSON request a line on standard input, one JSON reply a line.

    {"template": PATH}                            the template, with its short forms (!Ref) in their long ones ({"Ref": ...})
    {"call": [SERVICE, OPERATION, PARAMETERS]}    an AWS call by boto3, to where AWS_ENDPOINT_URL says
    {"match": [PATTERN, TEXT]}                    whether a regular expression fits the whole of a text
    {"literal": TEXT}                             what a text says that is written in Python

A reply is {"ok": ...}, or {"error": ...}.
"""

import ast
import functools
import json
import re
import sys


# What takes a second to load is loaded when it is asked for.
@functools.cache
def client(service):
    import boto3

    return boto3.client(service)


def answer(request):
    ((kind, asked),) = request.items()
    if kind == "template":
        from cfnlint.decode import cfn_yaml

        return cfn_yaml.load(asked)
    if kind == "call":
        service, operation, parameters = asked
        reply = getattr(client(service), operation)(**parameters)
        reply.pop("ResponseMetadata", None)
        return reply
    if kind == "literal":
        return ast.literal_eval(asked)
    if kind == "match":
        pattern, text = asked
        return re.fullmatch(pattern, text) is not None
    raise ValueError(f"there is no {kind}")


def main():
    for line in sys.stdin:
        try:
            reply = {"ok": answer(json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        # Times are told as text.
        print(json.dumps(reply, default=str), flush=True)


main()
