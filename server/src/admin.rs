//! Administrative tasks, also while servers run: they go through the database, which all of these
//! processes may write.

use crate::clock::Clock;
use crate::config::{AdminTask, Config};
use crate::limits::TOKEN_SECONDS;
use crate::random;
use crate::run::{StartError, make_data_dir};

/// Does the task; the line to print.
///
/// # Errors
/// [`StartError`], whose text is fit to end the program with.
pub async fn run(config: &Config, task: AdminTask) -> Result<String, StartError> {
    make_data_dir(&config.data_dir)?;
    let clock = Clock::System;
    let store = config.database.open(clock.micros()).await?.store;
    let expires = clock.micros_in(TOKEN_SECONDS);
    match task {
        AdminTask::JoinToken => {
            let token = random::token("fhj_");
            store.put_join_token(random::token_hash(&token), expires).await?;
            Ok(token)
        }
        AdminTask::Invite => {
            let code = random::token("fhi_");
            store.put_invite(random::token_hash(&code), expires).await?;
            Ok(code)
        }
    }
}
