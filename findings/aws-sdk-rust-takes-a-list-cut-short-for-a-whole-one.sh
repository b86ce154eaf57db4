#!/usr/bin/env bash
# aws-sdk-sns 1.121.0 (aws-smithy-xml 0.64) beside botocore 1.43.0
#
# A reply of one of AWS's query APIs arrives with a body that ends in the middle, as a proxy or a server that gave up leaves it, and a
# Content-Length that agrees. botocore refuses it: it is no XML. The SDK for Rust answers Ok, with the members of the list that had come,
# or none. Whoever corrects the difference between two lists takes what was cut off for what is gone.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
server=

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check botocore==1.43.0

cat >"$folder/serve.py" <<'PYTHON'
"""Answers each POST with a list of two topics, of which the second has been cut off."""
import http.server

BODY = """<ListTopicsResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListTopicsResult><Topics>\
<member><TopicArn>arn:aws:sns:eu-west-1:111122223333:one</TopicArn></member>\
<member><TopicArn>arn:aws:sns:eu-west-1:111122223333:two</TopicArn></member>\
</Topics></ListTopicsResult></ListTopicsResponse>""".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = BODY[: BODY.index(b"<member>", BODY.index(b"<member>") + 1)]
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
"$folder/venv/bin/python" "$folder/serve.py" >"$folder/port" &
server=$!
until [[ -s $folder/port ]]; do sleep 0.1; done
url=http://127.0.0.1:$(cat "$folder/port")

mkdir -p "$folder/rust/src"
cat >"$folder/rust/Cargo.toml" <<'TOML'
[package]
name = "list"
version = "0.0.0"
edition = "2024"

[dependencies]
aws-sdk-sns = { version = "=1.121.0", default-features = false, features = ["rt-tokio", "behavior-version-latest"] }
aws-smithy-http-client = { version = "1.5", default-features = false, features = ["rustls-ring"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >"$folder/rust/src/main.rs" <<'RUST'
use aws_sdk_sns::config::{Credentials, Region};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version_latest()
        .region(Region::new("eu-west-1"))
        .endpoint_url(std::env::args().nth(1).expect("a URL"))
        .credentials_provider(Credentials::new("AKIAEXAMPLE", "secret", None, None, "example"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    match aws_sdk_sns::Client::from_conf(config).list_topics().send().await {
        Ok(listed) => println!("Ok, {} topic(s)", listed.topics().len()),
        Err(_) => println!("Err"),
    }
}
RUST
rust=$(cd "$folder/rust" && cargo run -q -- "$url")
python=$("$folder/venv/bin/python" - "$url" <<'PYTHON'
import sys

import botocore.session

client = botocore.session.get_session().create_client(
    "sns", region_name="eu-west-1", endpoint_url=sys.argv[1], aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret"
)
try:
    print("Ok,", len(client.list_topics()["Topics"]), "topic(s)")
except Exception as error:
    print(type(error).__name__)
PYTHON
)
echo "aws-sdk-sns: $rust"
echo "botocore:    $python"

# Seen:
# aws-sdk-sns: Ok, 1 topic(s)
# botocore:    ResponseParserError
[[ $rust == "Ok, 1 topic(s)" && $python == ResponseParserError ]]
