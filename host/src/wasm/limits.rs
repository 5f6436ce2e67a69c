//! Owns the memory, table and instance budget of one task, summed over everything in its store.
//! Must not know what happens to a task that goes past it.

use wasmtime::ResourceLimiter;

/// Table elements of a task, over all its tables. Toolchains that bundle an interpreter need up to 8,000.
pub const TABLE_ELEMENTS: usize = 20_000;
/// Core instances of one component.
pub const CORE_INSTANCES: usize = 100;
/// Memories of one component; interpreters have two.
pub const MEMORIES: usize = 4;
/// Tables of one component.
pub const TABLES: usize = 10;

/// The budget and what is used of it. wasmtime's own `StoreLimits` caps each memory separately and tells nobody.
#[derive(Debug)]
pub struct Limits {
    memory: u64,
    memory_used: u64,
    elements_used: usize,
    refused_memory: bool,
}

impl Limits {
    /// A budget of so many bytes of linear memory.
    pub fn new(memory: u64) -> Self {
        Self { memory, memory_used: 0, elements_used: 0, refused_memory: false }
    }

    /// The memory budget in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The memory limit, when the guest has asked for more than it.
    pub fn refused_memory(&self) -> Option<u64> {
        self.refused_memory.then_some(self.memory)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grows_by = (desired as u64).saturating_sub(current as u64);
        let fits = self.memory_used.saturating_add(grows_by) <= self.memory;
        if fits {
            self.memory_used += grows_by;
        } else {
            self.refused_memory = true;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grows_by = desired.saturating_sub(current);
        let fits = self.elements_used.saturating_add(grows_by) <= TABLE_ELEMENTS;
        if fits {
            self.elements_used += grows_by;
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).expect("no trap"));
        assert!(limits.refused_memory().is_none());
        assert!(!limits.memory_growing(0, 60, None).expect("no trap"), "a second memory shares the budget");
        assert_eq!(limits.refused_memory(), Some(100));
        assert!(limits.memory_growing(60, 100, None).expect("no trap"));
    }

    #[test]
    fn tables_are_summed() {
        let mut limits = Limits::new(0);
        assert!(limits.table_growing(0, TABLE_ELEMENTS, None).expect("no trap"));
        assert!(!limits.table_growing(0, 1, None).expect("no trap"));
    }
}
