//! Sessions over a stream that a test makes, with a provider that it seeds.

use sansftp_proto::config::Algorithms;
use sansftp_proto::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;

impl SftpConnect {
    /// As [`Connect::connect`], and whatever the stream leads to is trusted.
    pub(in crate::sftp) async fn connect_over<Io>(
        &self,
        io: Io,
        provider: CryptoProvider,
        algorithms: Algorithms,
        credentials: Credentials,
    ) -> Result<SftpRemote>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let place = self.door().enter().await?;
        let knock = self.door().knock().await?;
        let mut config = self.end.config(&self.end.judge()?);
        config.provider = provider;
        config.algorithms = algorithms;
        let deadlines = self.end.deadlines();
        let client = Client::over(io, config, &deadlines, |_| Trust::Trusted, credentials).await;
        let client = client.map_err(|error| self.end.explain(error))?;
        self.open(client, self.held(place, knock.admitted(), Vec::new()))
            .await
    }
}
