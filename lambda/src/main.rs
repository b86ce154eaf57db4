//! The function: set up once, then one invocation after the other.

mod clocks;
mod emf;
mod invocation;
mod looking;
mod tagged;

use std::path::PathBuf;
use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, service_fn};
use rds_tether::function::tag::Seal;
use rds_tether::logging::{self, LogFormat};
use rds_tether::settings::{self, Settings};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::error;

use invocation::Function;

/// The settings file beside the executable in the package.
const PACKAGED_SETTINGS: &str = "config.toml";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logging::start_as(LogFormat::Json, 0);
    let function = match settings() {
        Ok((settings, seal)) => Function::new(settings, seal).await,
        Err(error) => {
            error!("the settings are not usable: {error}");
            report_init_error(&error).await;
            return ExitCode::from(error.exit as u8);
        }
    };
    // As text, because an event that cannot be read is no error.
    let invoke = async |event: LambdaEvent<Box<RawValue>>| function.invoke(event).await;
    match lambda_runtime::run(service_fn(invoke)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the Lambda runtime API failed: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where Lambda unpacked the package is told by the environment alone"
)]
fn settings() -> Result<(Settings, Option<Seal>), settings::Error> {
    let package = std::env::var_os("LAMBDA_TASK_ROOT").map_or_else(PathBuf::new, PathBuf::from);
    settings::without_command_line(&package.join(PACKAGED_SETTINGS))
}

/// Tells Lambda why there is no function, which lambda_runtime offers for its own errors only.
#[expect(
    clippy::disallowed_methods,
    reason = "where the runtime API listens is told by the environment alone"
)]
async fn report_init_error(error: &settings::Error) {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else {
        return;
    };
    let body = json!({ "errorType": "BadSettings", "errorMessage": error.to_string() }).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: BadSettings\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        let mut stream = TcpStream::connect(&api).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    if let Err(error) = told.await {
        error!("cannot tell the Lambda runtime API: {error}");
    }
}
