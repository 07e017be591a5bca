//! The program: see [`hookflow::cli`].

use std::process::ExitCode;

/// Many small allocations cross threads here; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookflow::cli::main()
}
