//! What the jobs of this machine share: a job waits until there is enough for it (S30).

use fuseml_domain::{CPU, Machine, Resources};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In which memory is counted, as a power of two.
const MEBIBYTE: u32 = 20;

pub(crate) struct Pool {
    cpu: Part,
    memory: Part,
    gpus: Part,
}

/// One thing that is shared.
struct Part {
    free: Arc<Semaphore>,
    all: u32,
}

/// What one job has of it, until this is dropped.
pub(crate) struct Share(#[expect(dead_code, reason = "held, not read")] [Option<OwnedSemaphorePermit>; 3]);

impl Pool {
    /// Of a machine; without one only the number of jobs is limited.
    pub(crate) fn new(jobs: usize, machine: Option<&Machine>) -> Self {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX).saturating_mul(CPU);
        let (memory, gpus) = machine.map_or((u32::MAX, u32::MAX), |it| (mebibytes(it.memory_bytes), it.gpus));
        Self { cpu: Part::new(jobs), memory: Part::new(memory), gpus: Part::new(gpus) }
    }

    /// One part after the other, always in this order, so that no two jobs wait for each other. Who says nothing of
    /// processors takes one.
    pub(crate) async fn take(&self, needed: &Resources) -> Share {
        // The rarest first: who waits for it holds up nobody else.
        let gpus = self.gpus.take(needed.gpus.unwrap_or(0)).await;
        let memory = self.memory.take(needed.memory_bytes.map_or(0, mebibytes)).await;
        Share([gpus, memory, self.cpu.take(needed.cpu_millis.unwrap_or(CPU)).await])
    }
}

impl Part {
    fn new(all: u32) -> Self {
        let all = all.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    async fn take(&self, count: u32) -> Option<OwnedSemaphorePermit> {
        // More than there is was refused before the job began; one that runs already has what it has.
        self.free.clone().acquire_many_owned(count.min(self.all)).await.ok()
    }
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << MEBIBYTE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(cpu_millis: u32, gpus: u32) -> Resources {
        Resources { cpu_millis: Some(cpu_millis), gpus: Some(gpus), ..Resources::default() }
    }

    #[tokio::test]
    async fn jobs_wait_until_there_is_enough_and_none_waits_for_ever() {
        let machine =
            Machine { cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 1, capabilities: Default::default(), zone: None };
        let pool = Pool::new(2, Some(&machine));
        let half = pool.take(&needs(500, 0)).await;
        let one = pool.take(&needs(1000, 1)).await;
        let waits = async |needed: &Resources| {
            tokio::time::timeout(std::time::Duration::from_millis(20), pool.take(needed)).await.is_err()
        };
        assert!(waits(&Resources::default()).await, "only half a processor is left");
        drop(half);
        assert!(waits(&needs(1000, 1)).await, "the GPU is taken");
        drop(one);
        drop(pool.take(&needs(1000, 1)).await);
        let memory = Resources { memory_bytes: Some(1 << 40), ..Resources::default() };
        drop(pool.take(&memory).await);
    }
}
