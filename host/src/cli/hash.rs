//! Owns `sandpool hash`. Must not know how secrets are hashed, and must never take one from the command line, where every
//! user of the machine can read it.

use super::{Ending, Refusal, say, say_error};
use crate::auth::{KeyHash, MAX_CREDENTIAL, MAX_PASSWORD, PasswordHash, random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Read, Stdin, Write};

/// A key that is shorter could be guessed from its hash.
const SHORT_KEY: usize = 16;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Reads a password and prints its Argon2id hash, for `password` of a user
    Password,
    /// Reads an API key and prints its SHA-256, for `api_keys` of a user
    Key {
        /// Make a new random key, print it and then its hash; nothing is read
        #[arg(long)]
        generate: bool,
    },
}

pub fn hash(arguments: &Arguments) -> Result<Ending, Refusal> {
    match arguments.what {
        What::Password => {
            let password = read("Password: ", MAX_PASSWORD)?;
            say(PasswordHash::of(password.as_bytes()).map_err(Refusal::from)?.show());
        }
        What::Key { generate: false } => {
            let key = read("API key: ", MAX_CREDENTIAL)?;
            if key.len() < SHORT_KEY {
                say_error("This key is short: whoever sees its hash could guess it. `--generate` makes a good one.");
            }
            say(&KeyHash::of(key.as_bytes()).show());
        }
        What::Key { generate: true } => {
            let key = URL_SAFE_NO_PAD.encode(random::<32>()?);
            say(&format!("{key}\n{}", KeyHash::of(key.as_bytes()).show()));
        }
    }
    Ok(Ending::Ok)
}

/// One line of standard input; on a terminal it is asked for, and not shown.
fn read(prompt: &str, longest: usize) -> Result<String, Refusal> {
    let stdin = std::io::stdin();
    let silence = stdin.is_terminal().then(|| Silence::new(&stdin, prompt));
    let mut line = String::new();
    let limit = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(2);
    stdin.lock().take(limit).read_line(&mut line).map_err(|error| Refusal::from(format!("cannot read it: {error}")))?;
    drop(silence);
    let secret = line.strip_suffix('\n').unwrap_or(&line);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    match secret.len() {
        0 => Err(Refusal::from("there is nothing on standard input; type it, or pipe it in")),
        length if length > longest => Err(Refusal::from(format!("it is longer than {longest} bytes"))),
        _ => Ok(secret.to_owned()),
    }
}

/// A terminal that shows nothing of what is typed, as long as this lives.
struct Silence<'a> {
    stdin: &'a Stdin,
    before: Option<Termios>,
}

impl<'a> Silence<'a> {
    fn new(stdin: &'a Stdin, prompt: &str) -> Self {
        let before = tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(stdin, OptionalActions::Flush, &silent);
        }
        // Standard output is for the hash alone.
        let mut err = std::io::stderr().lock();
        drop(write!(err, "{prompt}").and_then(|()| err.flush()));
        Self { stdin, before }
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(self.stdin, OptionalActions::Flush, before);
        }
        say_error("");
    }
}
