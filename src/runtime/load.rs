//! `hookflow load`: recipients and batches into the store, once, beside running jobs where the store allows that.
//!
//! What is loaded reaches the members of a fleet that run: each polls for mappings that somebody else loaded.

use std::path::PathBuf;
use std::sync::Arc;

use super::loader::{Horizon, Loader, Report};
use super::sample;
use super::sinks::Writers;
use super::store::{OpenStores, open_state};
use super::tables::TableLoader;
use crate::config::Plan;
use crate::epoch::{Clock, MonotonicClock};
use crate::error::{Exit, Fatal};
use crate::log::null::NullLog;
use crate::metrics::Metrics;
use crate::observe::loading::Loading;
use crate::state::LoadKind;

/// What is to be loaded.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// The settings: which store, and which tables if there are no files.
    pub plan: Plan,
    /// Files of recipients.
    pub recipients: Vec<PathBuf>,
    /// A file of batches.
    pub batches: Option<PathBuf>,
    /// The files hold all recipients of every batch in them, so these are sealed.
    pub whole: bool,
    /// No progress.
    pub quiet: bool,
}

/// Loads; answers what came of it.
pub fn load(request: &LoadRequest) -> Result<Report, Fatal> {
    let plan = &request.plan;
    sample::expect_other_data(&plan.store_dir)?;
    let store = OpenStores::without_reads(open_state(plan)?, Box::new(NullLog));
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::start(plan.tick));
    let writers = Writers::start(plan, store, &clock, &Metrics::new([]))?;
    let loader = Loader {
        state: writers.sinks().state(),
        default_user: plan.default_user.clone(),
        turn: Arc::default(),
    };
    let mut loading = Loading::new(request.quiet);
    let report = load_into(request, loader, |rows| loading.show(rows));
    writers.drain();
    report
}

fn load_into(
    request: &LoadRequest,
    loader: Loader,
    on_rows: impl FnMut(u64),
) -> Result<Report, Fatal> {
    if !request.recipients.is_empty() || request.batches.is_some() {
        let kind = if request.whole {
            LoadKind::Full
        } else {
            LoadKind::Increment
        };
        return loader.files(kind, &request.recipients, request.batches.as_ref(), on_rows);
    }
    let recipients = &request.plan.recipients;
    let Some(tables) = &recipients.tables else {
        let message = "nothing to load: name files, or set recipients.source to your table";
        return Err(Fatal::new(Exit::Usage, message));
    };
    let horizon = Horizon::new(recipients.age_max);
    let mut tables = TableLoader::prepare(tables, loader, horizon, true)?;
    Ok(tables.poll(on_rows)?)
}
