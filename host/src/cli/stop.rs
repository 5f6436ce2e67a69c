//! Owns `sandpool stop`: ends a task. Must not know how a task is shown.

use super::client::{Server, block_on};
use super::tasks::{Named, Task};
use super::{Ending, Refusal, say};
use reqwest::Method;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    task: Named,
    /// Answers the AsyncTask as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub fn stop(arguments: &Arguments) -> Result<Ending, Refusal> {
    let client = arguments.server.client()?;
    let path = arguments.task.path(&client)?;
    block_on(async {
        let answer = client.ask(client.request(Method::DELETE, &path)).await?;
        let task: Task = answer.read()?;
        say(if arguments.json { answer.text.clone() } else { format!("{}  {}", task.id, task.standing()) }.as_str());
        Ok(Ending::Ok)
    })
}
