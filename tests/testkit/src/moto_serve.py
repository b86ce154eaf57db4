"""Starts moto's server, and lets it look at signatures as AWS does.

To check a signature, moto encodes the form that it has read anew, with + for a space. AWS takes the body as it was sent, in which
the SDK has %20.
"""

import sys
from urllib.parse import quote, urlencode

import botocore.awsrequest
from moto.server import main


def as_sent(form, doseq=True):
    return urlencode(form, doseq, quote_via=quote, safe="")


botocore.awsrequest.urlencode = as_sent
sys.exit(main())
