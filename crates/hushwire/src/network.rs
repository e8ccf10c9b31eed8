//! Models, plans and the programs they make.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hushwire_fixed::{Program, Settings, calibrate, lower};
use hushwire_graph::{Model, Tensor};
use hushwire_he::EncryptedPlan;
use hushwire_plan::{MAX_BYTES, Plan};

/// A network and the file it comes from.
pub struct Network {
    /// The file.
    pub path: PathBuf,
    /// Structure and weights.
    pub model: Model,
}

/// A calibrated plan and its program.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What all parties execute.
    pub program: Arc<Program>,
    /// Where the number formats come from.
    pub origin: String,
}

impl Network {
    /// Reads an ONNX file.
    pub fn load(path: &Path) -> Result<Network> {
        let model = Model::load(path).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Network { path: path.to_owned(), model })
    }

    /// The plan in a file.
    pub fn read_plan(&self, path: &Path) -> Result<Plan> {
        let read = || -> Result<Plan> {
            let mut bytes = Vec::new();
            // One byte more than is allowed, so that longer files are noticed and not read.
            File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            let plan = Plan::from_bytes(&bytes);
            if plan.is_err() && EncryptedPlan::from_bytes(&bytes).is_ok() {
                bail!(
                    "it is an encrypted plan, which only --executor he and `encrypted server` take"
                );
            }
            let plan = plan?;
            plan.check(&self.model.graph)?;
            Ok(plan)
        };
        read().with_context(|| format!("cannot use the plan {}", path.display()))
    }

    /// The plan to use for three parties: the file's, calibrated on `images` if it is not yet, or
    /// exact gates.
    pub fn plan(
        &self,
        file: Option<&Path>,
        settings: &Settings,
        images: impl FnOnce() -> Result<(Tensor, String)>,
    ) -> Result<Planned> {
        let planned = self.plan_in_clear(file, settings, images)?;
        hushwire_mpc::polynomial::refuse(&planned.program)
            .with_context(|| format!("cannot run {} privately", self.path.display()))?;
        Ok(planned)
    }

    /// As [`plan`](Self::plan), for the clear executors, which know gates that are too dear for three
    /// parties.
    pub fn plan_in_clear(
        &self,
        file: Option<&Path>,
        settings: &Settings,
        images: impl FnOnce() -> Result<(Tensor, String)>,
    ) -> Result<Planned> {
        let gates = file.map(|path| self.read_plan(path)).transpose()?;
        match (gates, file) {
            (Some(plan), Some(path)) if plan.is_calibrated() => {
                self.planned(plan, format!("plan {}", path.display()))
            }
            (gates, file) => {
                let mut planned = self.calibrate(gates, settings, images()?)?;
                if let Some(path) = file {
                    planned.origin = format!("gates of {}, {}", path.display(), planned.origin);
                }
                Ok(planned)
            }
        }
    }

    /// Calibrates the gates of a plan, or exact ones.
    pub fn calibrate(
        &self,
        gates: Option<Plan>,
        settings: &Settings,
        (images, origin): (Tensor, String),
    ) -> Result<Planned> {
        let gates = gates.unwrap_or_else(|| Plan::exact(&self.model.graph));
        let plan = calibrate(&self.model, &gates, &images, settings)
            .with_context(|| format!("cannot calibrate {}", self.path.display()))?;
        self.planned(plan, format!("calibrated on {origin}"))
    }

    fn planned(&self, plan: Plan, origin: String) -> Result<Planned> {
        let program = lower(&self.model.graph, &plan)
            .with_context(|| format!("cannot run {} privately", self.path.display()))?;
        Ok(Planned { plan, program: Arc::new(program), origin })
    }

    /// Images that go through the network together without taking much memory.
    pub fn usual_batch(&self) -> usize {
        const MULTIPLICATIONS: u64 = 1 << 30;
        (MULTIPLICATIONS / self.model.graph.macs().max(1)).clamp(1, 100) as usize
    }
}
