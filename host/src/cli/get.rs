//! Owns `sandpool get`: a task as it stands, or once it has ended. Must not know how a task is shown.

use super::client::{Server, block_on};
use super::tasks::{self, Named, Task};
use super::{Ending, Refusal, say};
use reqwest::Method;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    task: Named,
    /// Waits so long for its end; then exit code 1 says that it is not completed
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// Answers the AsyncTask as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub fn get(arguments: &Arguments) -> Result<Ending, Refusal> {
    let client = arguments.server.client()?;
    let path = arguments.task.path(&client)?;
    block_on(async {
        let answer = match arguments.wait {
            Some(seconds) => tasks::wait(&client, &path, seconds).await?,
            None => client.ask(client.request(Method::GET, &path)).await?,
        };
        let task: Task = answer.read()?;
        say(if arguments.json { answer.text.clone() } else { task.card() }.as_str());
        Ok(if arguments.wait.is_some() { tasks::ending(&task) } else { Ending::Ok })
    })
}
