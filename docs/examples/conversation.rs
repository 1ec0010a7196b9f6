//! Sends a message and shows what comes back. Usage: cargo run --example conversation USER TOKEN PEER

use std::error::Error;

use rookery::client::{Client, Options, TokenSource, Update};
use rookery::ids::{Conversation, UserId};

async fn hello(user: &str, token: &str, peer: &str) -> Result<(), Box<dyn Error>> {
    let options = Options::new("127.0.0.1:8800", UserId::parse(user)?, TokenSource::fixed(token));
    let (client, mut updates) = Client::connect(options).await?;
    let sent = client.send_text(&Conversation::parse(&format!("user:{peer}"))?, "Hello").await?;
    println!("committed as {} of our conversation", sent.seq);
    while let Some(update) = updates.next().await {
        if let Update::Received(message) = update {
            println!("{}: {:?}", message.from, message.content);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [user, token, peer] => hello(user, token, peer).await,
        _ => Err("expected USER TOKEN PEER".into()),
    }
}
