//! A remote log in an S3 server of this process, filled as the shipper fills it.

use crate::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use moltbot_core::content::DataKey;
use moltbot_core::ids::{Epoch, InstanceId, KeyId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::error::StoreError;
use moltbot_store::head::{self, Head};
use moltbot_store::keys::{Keyring, MasterKeys, keys_in};
use moltbot_store::layout;
use moltbot_store::replica::{Replica, ReplicaOptions};
use moltbot_store::segment;

/// Who shipped it.
pub(crate) const INSTANCE: &str = "bench";

/// The bucket of this server.
pub(crate) fn open(server: &S3Server) -> Result<Replica, StoreError> {
    let options = ReplicaOptions {
        endpoint: Some(server.url()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some(ACCESS_KEY.to_owned()),
        secret_access_key: Some(SECRET_KEY.to_owned()),
        session_token: None,
        names: moltbot_store::diagnosis::Names::default(),
    };
    Replica::open(&format!("s3://{BUCKET}/log"), &options)
}

/// Claims the first epoch and stores these records in segments of so many; how many those are.
pub(crate) async fn fill(
    replica: &Replica,
    records: &[Record],
    per_segment: usize,
) -> Result<usize, StoreError> {
    let claim = Head {
        owner: InstanceId::from(INSTANCE),
        at: Timestamp(1_800_000_000_000),
        from_seq: Seq(1),
        nonce: "bench".to_owned(),
    };
    head::create(replica, Epoch(1), &claim).await?;
    ship(replica, records, per_segment).await
}

/// Stores more records in segments of so many; how many those are. Data keys go before them.
pub(crate) async fn ship(
    replica: &Replica,
    records: &[Record],
    per_segment: usize,
) -> Result<usize, StoreError> {
    let owner = InstanceId::from(INSTANCE);
    let keyring = Keyring::in_memory(MasterKeys::default());
    let new: Vec<(KeyId, DataKey)> = keys_in(records)
        .into_iter()
        .map(|id| (id, DataKey([7; 32])))
        .collect();
    keyring.create(&new)?;
    for (id, _) in new {
        if let Some(object) = keyring.object(&id) {
            replica.create(&layout::key(&id), object).await?;
        }
    }
    let mut segments = 0;
    for records in records.chunks(per_segment) {
        let bytes = segment::encode(Epoch(1), &owner, records)?;
        let first = records.first().map_or(Seq(1), |record| record.seq);
        replica.create(&layout::segment(first), bytes).await?;
        segments += 1;
    }
    Ok(segments)
}
